"""A real browser for the pages: Debian's Chromium, headless, with the network off."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def chromium():
    """The browser, started once; tests are skipped, with the reason, where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root, which containers run as.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page with what went wrong on it: console errors, exceptions, failed requests, requests beyond the disk."""

    def __init__(self, page):
        self.page, self.wrong = page, []
        page.on("console", lambda m: m.type == "error" and self.wrong.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: self.wrong.append(f"exception: {e}"))
        page.on("requestfailed", lambda r: self.wrong.append(f"failed: {r.url}"))
        page.on("request", self._asked)

    def _asked(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.wrong.append(f"asked: {request.url}")


@pytest.fixture
def watched(chromium):
    """Opens pages from disk, offline: ``watched(width=1280)`` gives a `Watched` with an empty page."""
    contexts = []

    def opened(width=1280, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, offline=True, **options)
        contexts.append(context)
        return Watched(context.new_page())

    yield opened
    for context in contexts:
        context.close()
