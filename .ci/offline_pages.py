"""A hook of mkdocs: pages ask the network for nothing, so that search works from the file system too."""

import re

from mkdocs.exceptions import PluginError

REMOTE = "https://unpkg.com/iframe-worker/shim"
LOCAL = "assets/iframe-worker.js"
"""The worker by which a page searches where it was opened from a file."""

LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=\"(https?:[^\"]*)|<link[^>]*rel=\"stylesheet\"[^>]*href=\"(https?:[^\"]*)"
)


def on_post_page(output, page, config):
    """Every page lies at the top of the site; the worker comes with it."""
    output = output.replace(REMOTE, LOCAL)
    for found in LOADED.finditer(output):
        raise PluginError(f"{page.file.src_path} loads {found[1] or found[2]}, expected nothing from the network")
    return output
