"""Hooks of mkdocs: pages ask the network for nothing and work as files; scripts come along, figures open."""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

REMOTE = "https://unpkg.com/iframe-worker/shim"
LOCAL = "assets/iframe-worker.js"
"""The worker by which a page searches where it was opened from a file."""

LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]*\ssrc=\"(https?:[^\"]*)|<link[^>]*rel=\"stylesheet\"[^>]*href=\"(https?:[^\"]*)"
)

SCRIPTS = "examples"
"""A folder beside docs whose scripts pages link to; the site holds a copy."""


def on_files(files, config):
    """The scripts are files of the site."""
    for path in sorted(Path(SCRIPTS).glob("*.py")):
        files.append(File.generated(config, f"{SCRIPTS}/{path.name}", abs_src_path=str(path.resolve())))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links to scripts lead to their copies."""
    return markdown.replace(f"](../{SCRIPTS}/", f"]({SCRIPTS}/")


FIGURE = re.compile(r"<img [^>]*src=\"([^\"]*)\"[^>]*>")


def on_page_content(html, **_):
    """A click on a figure opens it in its full size: its lettering is small beside the menus."""
    return FIGURE.sub(r'<a href="\1" title="Full size">\g<0></a>', html)


def on_post_template(output, template_name, config):
    """No page for addresses that lead nowhere: its own addresses hold on a server alone, and it asks the network."""
    return "" if template_name == "404.html" else output


def on_post_page(output, page, config):
    """Every page lies at the top of the site; the worker comes with it."""
    output = output.replace(REMOTE, LOCAL)
    for found in LOADED.finditer(output):
        raise PluginError(f"{page.file.src_path} loads {found[1] or found[2]}, expected nothing from the network")
    return output
