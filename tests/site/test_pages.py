"""The web site as it is read: every page from disk, in a real browser, with the network off.

`make site` builds what is tested here; `make test` and `make test-site` call it first.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from paperlib.study.study import CODE_ROOT

SITE = CODE_ROOT / "build" / "site"
NOTEBOOKS = sorted(path.stem for path in (CODE_ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
pytestmark = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="the site is not built (make site)")


def pages():
    return sorted(SITE.rglob("*.html"))


class Parsed(HTMLParser):
    """The links, the places and what a page loads."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places, self.loads = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "source", "iframe") and found.get("src"):
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "shortcut icon"):
            self.loads.append(found["href"])


def test_every_notebook_and_document_has_a_page():
    there = {path.relative_to(SITE).as_posix() for path in pages()}
    wanted = {f"notebooks/{name}.html" for name in NOTEBOOKS}
    wanted |= {
        "README.html",
        "GLOSSARY.html",
        "the_paper.html",
        "gallery.html",
        "explorer/index.html",
        "teach/guide.html",
    }
    assert wanted <= there


def test_links_lead_somewhere():
    parsed = {path: Parsed(path) for path in pages()}
    broken = []
    for path, page in parsed.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or to.netloc:
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            place = unquote(to.fragment)
            if not target.is_file() or (place and target in parsed and place not in parsed[target].places):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere():
    elsewhere = [(path.name, load) for path in pages() for load in Parsed(path).loads if urlsplit(load).netloc]
    styles = [
        path
        for path in SITE.rglob("*.css")
        if re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text("utf-8"))
    ]
    assert elsewhere == [] and styles == []


def test_it_is_small():
    assert sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) < 20e6


DRAWN = (
    "Promise.all([...document.images].map(i => {i.loading = 'eager'; return i.decode().then(() => null, () => i.src)}))"
)


def test_every_page_opens_without_an_error_and_every_figure_is_drawn(watched):
    wrong = {}
    seen = watched()
    for path in pages():
        seen.page.goto(path.as_uri())
        lost = [src for src in seen.page.evaluate(DRAWN) if src]
        if lost or seen.wrong:
            wrong[path.relative_to(SITE).as_posix()] = [*lost, *seen.wrong]
            seen.wrong.clear()
    assert wrong == {}


def test_no_page_is_wider_than_a_phone(watched):
    seen, wide = watched(width=390, height=844), {}
    for path in pages():
        seen.page.goto(path.as_uri())
        width = seen.page.evaluate("document.documentElement.scrollWidth")
        if width > 390:
            wide[path.relative_to(SITE).as_posix()] = width
    assert wide == {}


def test_code_is_folded_and_unfolds(watched):
    page = watched().page
    page.goto((SITE / "notebooks" / f"{NOTEBOOKS[-1]}.html").as_uri())
    code = page.locator("details").first
    assert code.get_attribute("open") is None and not code.locator("pre").first.is_visible()
    code.locator("summary").click()
    assert code.locator("pre").first.is_visible()


def test_the_search_finds_a_word(watched):
    seen = watched()
    seen.page.goto((SITE / "search.html").as_uri() + "?q=knockout")
    seen.page.wait_for_selector("ul.search li a", timeout=20000)
    found = seen.page.locator("ul.search li a").all_text_contents()
    assert any("Intervene" in title for title in found) and seen.wrong == []


def test_dark_mode_turns_the_page_dark(watched):
    page = watched(color_scheme="light").page
    page.goto((SITE / "index.html").as_uri())
    background = "getComputedStyle(document.body).backgroundColor"
    seen = {page.evaluate(background)}
    for _ in range(3):  # light, dark, as the system has it
        page.locator(".theme-toggle:visible").first.click()
        seen.add(page.evaluate(background))
    assert len(seen) == 2


def test_the_gallery_leads_to_the_cell_that_drew_a_figure(watched):
    page = watched().page
    page.goto((SITE / "gallery.html").as_uri())
    page.get_by_text("Where it was drawn").last.click()
    page.wait_for_load_state()
    place = urlsplit(page.url).fragment
    assert Path(urlsplit(page.url).path).stem in NOTEBOOKS and page.locator(f"#{place}").count() == 1
