"""The slides: made from the committed notebooks, opened from disk in a real browser, offline."""

import subprocess
import sys

import pytest

from paperlib.study.study import CODE_ROOT

NOTEBOOKS = sorted(path.stem for path in (CODE_ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    subprocess.run([sys.executable, CODE_ROOT / "docs" / "slides.py", folder], check=True, timeout=60)
    return folder


def test_without_a_folder_one_sentence_says_so():
    made = subprocess.run(
        [sys.executable, CODE_ROOT / "docs" / "slides.py"], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 1 and made.stderr.startswith("Say the folder") and "Traceback" not in made.stderr


def test_a_page_for_each_notebook_with_its_figures_and_no_solution(slides):
    assert {path.stem for path in slides.glob("*.html")} == {"index", *NOTEBOOKS}
    for name in NOTEBOOKS:
        text = (slides / f"{name}.html").read_text(encoding="utf-8")
        assert '<section class="title"' in text and '<section class="predict"' in text, name
        assert 'class="figure"' in text and "Exercises" not in text and "http" not in text, name


def test_what_came_out_is_what_the_run_printed(slides):
    text = (slides / "07_weigh_the_claims.html").read_text(encoding="utf-8")
    assert "what came out" in text and "<strong>C1</strong>: of" in text


@pytest.mark.parametrize("name", ["index", *NOTEBOOKS])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_every_slide_fits_and_every_figure_is_drawn(slides, watched, name, width, height):
    seen = watched(width=width, height=height)
    seen.page.goto((slides / f"{name}.html").as_uri())
    over = seen.page.evaluate(
        "[...document.querySelectorAll('section')].filter(s => s.scrollHeight > s.clientHeight + 1 ||"
        " s.scrollWidth > s.clientWidth + 1).map(s => s.innerText.slice(0, 60))"
    )
    drawn = seen.page.evaluate(
        "[...document.images].filter(i => i.naturalWidth === 0 || i.height < 40).map(i => i.src)"
    )
    assert over == [] and drawn == [] and seen.wrong == []


def test_keys_turn_the_slides(slides, watched):
    page = watched(width=1280, height=720).page
    page.goto((slides / "03_intervene_on_layers.html").as_uri())
    place = "Math.round(document.querySelector('main').scrollTop / innerHeight)"
    for key, expected in (("ArrowRight", 1), ("Space", 2), ("ArrowLeft", 1), ("Home", 0)):
        page.keyboard.press(key)
        page.wait_for_function(f"{place} === {expected}", timeout=5000)
    page.keyboard.press("End")
    page.wait_for_function(f"{place} === document.querySelectorAll('section').length - 1", timeout=5000)
