"""Pages in this machine's Chromium, driven by playwright. Tests that import this skip where playwright is missing."""

import shutil
from contextlib import contextmanager

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not here: install the extra `browser`")
expect = sync_api.expect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# The first for containers, where Chromium's sandbox cannot start; the rest keep the browser itself off the network.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DESKTOP = {"width": 1200, "height": 900}


@contextmanager
def chromium():
    """A browser; the test is skipped where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def watch(context, problems):
    """Notes in `problems` every error and warning of a page, and every address it asks for that is no local file."""

    def said(message):
        if message.type in ("error", "warning", "assert"):
            problems.append(message.text)

    def asked(request):
        if not request.url.startswith(("file:", "data:")):
            problems.append(request.url)

    context.on("console", said)
    context.on("weberror", lambda found: problems.append(str(found.error)))
    context.on("request", asked)
