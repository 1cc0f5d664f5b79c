"""The explorer in a browser, from disk: each control changes what it should, by keyboard, wide and narrow."""

import time

import pytest

from paperlib.interventions.explorer_page import FOLDER, read_data
from paperlib.study.study import CODE_ROOT

PAGE = CODE_ROOT / FOLDER / "index.html"
DATA = read_data(CODE_ROOT / FOLDER / "data.js")["data"]


@pytest.fixture
def opened(watched):
    def at(width=1280, **options):
        seen = watched(width=width, **options)
        seen.page.goto(PAGE.as_uri())
        return seen

    return at


def bars(page):
    return page.eval_on_selector_all("#bars .changed", "all => all.map(bar => parseFloat(bar.style.width))")


def text(page, place):
    return page.locator(place).inner_text()


def number(name):
    return next(i for i, x in enumerate(DATA["interventions"]) if x["name"] == name)


def percent(values):
    return pytest.approx([100 * p for p in values], abs=0.01)


def test_the_first_picture_is_drawn_and_its_time_printed(opened, capsys):
    began = time.perf_counter()
    seen = opened()
    seen.page.wait_for_function("document.getElementById('picture').naturalWidth > 0")
    took = time.perf_counter() - began
    inside = seen.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
    with capsys.disabled():
        print(f"\nexplorer: first picture after {took:.2f} s (the page's own clock: {inside:.2f} s)")
    assert seen.wrong == []


@pytest.mark.parametrize("place", range(len(DATA["interventions"])))
def test_bars_and_the_marked_point_are_those_of_the_chosen_window(opened, place):
    page, chosen = (seen := opened()).page, DATA["interventions"][place]
    page.select_option("#scene", "1")
    page.select_option("#question", "1")
    page.select_option("#intervention", str(place))
    question = DATA["scenes"][1]["questions"][1]
    assert text(page, "#says") == chosen["says"] and text(page, "#asked") == question["question"]
    for window in (0, len(chosen["windows"]) - 1):
        page.locator("#window").fill(str(window))
        assert bars(page) == percent(question["under"][chosen["name"]][window])
        assert page.locator("#curve .dot").count() == len(chosen["windows"])
        x, y = (page.locator("#curve .here").get_attribute(name) for name in ("cx", "cy"))
        dot = page.locator("#curve .dot").nth(window)
        assert (x, y) == (dot.get_attribute("cx"), dot.get_attribute("cy"))
    assert page.locator("#other").is_visible() == (chosen["name"] == "patch") and seen.wrong == []


def test_a_scene_changes_picture_questions_and_words(opened):
    page = opened().page
    before = text(page, "#sentence")
    page.select_option("#scene", "2")
    scene = DATA["scenes"][2]
    assert page.locator("#picture").get_attribute("src") == scene["picture"]
    assert scene["caption"] in page.locator("#picture").get_attribute("alt")
    assert page.locator("#question option").all_inner_texts() == [q["question"] for q in scene["questions"]]
    assert text(page, "#sentence") != before and page.locator("#sentence").get_attribute("aria-live") == "polite"
    assert page.locator("#bars .name.right").inner_text().startswith(scene["questions"][0]["answer"])


def test_the_grid_is_that_of_the_image_tokens_and_can_be_hidden(opened):
    page = opened().page
    assert (page.locator("#grid line").count() / 2 + 1) ** 2 == DATA["tokens"]
    page.uncheck("#show-grid")
    assert not page.locator("#grid").is_visible()


def test_arrow_keys_and_tab_are_enough(opened):
    page = opened().page
    page.focus("#scene")
    page.keyboard.press("ArrowDown")
    assert page.locator("#scene").input_value() == "1" and DATA["scenes"][1]["caption"] in text(page, "#caption")
    places = []
    for _ in range(3):
        page.keyboard.press("Tab")
        places.append(page.evaluate("document.activeElement.id"))
    assert places == ["question", "intervention", "window"]
    before, value = text(page, "#window-text"), int(page.locator("#window").input_value())
    page.keyboard.press("ArrowRight")
    assert int(page.locator("#window").input_value()) == value + 1 and text(page, "#window-text") != before
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    question = DATA["scenes"][1]["questions"][0]
    assert bars(page) == percent(question["under"]["image->answer"][value + 1])
    assert page.evaluate(
        "[...document.querySelectorAll('select, input')].every(control => control.labels.length === 1)"
    )


def test_neighbours_follow_picture_model_and_both_layers(opened):
    page, found = (seen := opened()).page, DATA["neighbors"]
    for s, stage, a, b in [(0, 0, 0, 0), (3, 1, 4, 9), (9, 0, len(found["layers"]) - 1, 2)]:
        page.select_option("#near-scene", str(s))
        page.select_option("#stage", str(stage))
        page.locator("#picture-layer").fill(str(a))
        page.locator("#caption-layer").fill(str(b))
        tables = list(found["stages"].values())[stage]
        own, near = found["listed"][s], tables["nearest"][a][b][s]
        lines = page.locator("#nearest li").all_inner_texts()
        assert [line.startswith(found["captions"][i]) for line, i in zip(lines, near, strict=True)] == [True] * 5
        assert ["✓" in line for line in lines] == [i == own for i in near]
        said = text(page, "#near-sentence")
        assert ("is the nearest" in said) == (tables["rank"][a][b][s] == 1)
        assert f"layer {found['layers'][a]} of" in text(page, "#picture-layer-text")
        assert page.locator("#table .cell").count() == len(found["layers"]) ** 2
        cell = page.locator("#table .cell").nth(a * len(found["layers"]) + b)
        assert cell.get_attribute("x") == page.locator("#table .cell-here").get_attribute("x")
    assert seen.wrong == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(opened, width, scheme):
    seen = opened(width, color_scheme=scheme)
    page = seen.page
    page.select_option("#intervention", str(number("patch")))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert page.eval_on_selector_all("img", "all => all.every(image => image.alt)") and seen.wrong == []


def test_it_says_what_it_is_and_leads_back():
    written = PAGE.read_text(encoding="utf-8")
    assert 'href="../index.html"' in written and "no evidence" in written and "small" in written
    assert "http" not in written.replace("http-equiv", "")
