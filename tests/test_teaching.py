"""The teaching kit (docs/teach): what it names exists, its minutes add up, and it answers every exercise."""

import json
import re

import pytest
from test_documents import exists

from paperlib.study.study import CODE_ROOT

TEACH = CODE_ROOT / "docs" / "teach"
PAGES = sorted(path.name for path in TEACH.glob("*.md"))
NOTEBOOKS = sorted((CODE_ROOT / "notebooks").glob("0*.ipynb"))
every_page = pytest.mark.parametrize("page", PAGES)
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def text_of(page):
    return (TEACH / page).read_text(encoding="utf-8")


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def exercises_of(path):
    """The texts of a notebook's exercises, in order."""
    cell = next(c for c in cells_of(path) if re.search(r"^## .*Exercises", source(c), re.MULTILINE))
    return re.findall(r"^\d+\. (.+(?:\n   .+)*)", source(cell), re.MULTILINE)


def section(text, heading):
    """What stands under a heading, up to the next of its level."""
    level = heading.split(" ")[0]
    assert text.count(f"\n{heading}\n") == 1, heading
    rest = text.split(f"\n{heading}\n")[1]
    return re.split(rf"^{level} ", rest, flags=re.MULTILINE)[0]


def rows(text):
    """Cells of the rows of the first table of a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_index_lists_every_page():
    listed = re.search(r"```\{toctree\}.*?```", text_of("index.md"), re.DOTALL)[0]
    pages = {re.sub(r"\.md$", "", name) for name in PAGES} - {"index"}
    pages |= {path.name for path in TEACH.glob("*.ipynb")}
    assert {line.strip() for line in listed.splitlines()[1:-1] if line.strip() and ":" not in line} == pages


@every_page
def test_links_names_and_commands_exist(page):
    text = text_of(page)
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (TEACH / link).exists()] == []
    assert [name for name in re.findall(r"\bpaperlib(?:\.\w+)+", text) if not exists(name)] == []
    targets = re.findall(r"^([a-z]+):", (CODE_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:`|    )make ([a-z]+)", text)) <= set(targets)


@every_page
def test_pages_are_plain(page):
    lines = text_of(page).splitlines()
    assert max(len(line) for line in lines if not line.startswith("|")) <= 140
    assert text_of(page).count("<details>") == text_of(page).count("</details>")


@pytest.mark.parametrize("minutes", [45, 90])
def test_the_minutes_of_a_path_add_up(minutes):
    plan = rows(section(text_of("guide.md"), f"## A path of {minutes} minutes"))
    spans = [tuple(map(int, row[0].split(" to "))) for row in plan]
    assert spans[0][0] == 0 and spans[-1][1] == minutes
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert all(start < end for start, end in spans)


def test_the_lab_has_ten_sessions_and_meets_every_notebook():
    lab = rows(section(text_of("guide.md"), "## A lab of two weeks"))
    assert [row[0] for row in lab] == [str(i) for i in range(1, 11)]
    together = " ".join(row[1] for row in lab)
    assert all(path.stem[:2] in together for path in NOTEBOOKS)


def test_sections_that_the_guide_names_exist():
    """ "02, sections 1 and 6" in the second column of a plan."""
    highest = {}
    for path in NOTEBOOKS:
        headings = " ".join(source(c) for c in cells_of(path) if c["cell_type"] == "markdown")
        highest[path.stem[:2]] = max(map(int, re.findall(r"## (\d+) ·", headings)))
    named = 0
    for heading in ("## A path of 45 minutes", "## A path of 90 minutes", "## A lab of two weeks"):
        for row in rows(section(text_of("guide.md"), heading)):
            plain = re.sub(r"\]\([^)]*\)", "]", row[1])
            for number, sections in re.findall(r"\[?(0\d)\]?, sections? ([\d, toand]+)", plain):
                named += 1
                assert max(map(int, re.findall(r"\b\d\b|\b1\d\b", sections))) <= highest[number], row
    assert named > 20


@every_notebook
def test_every_exercise_has_an_expected_answer_that_its_solution_gives(path):
    title = source(cells_of(path)[0]).splitlines()[0].removeprefix("# ")
    table = rows(section(text_of("guide.md"), f"### {title}"))
    assert [row[0] for row in table] == [str(i + 1) for i in range(len(exercises_of(path)))]
    solutions = [source(c) for c in cells_of(path) if "solution" in c["metadata"].get("tags", [])]
    for number, answer, words in table:
        assert len(answer.split()) > 8
        if words != "–":  # an exercise that trains has no solution to run
            assert words.strip('"') in solutions[int(number) - 1], words
    assert sum(row[2] == "–" for row in table) == len(table) - len(solutions)


@every_notebook
def test_every_exercise_is_marked_and_the_main_result_is_predicted_first(path):
    assert all(re.match(r"\*\((easy|medium|hard)\)\* ", text) for text in exercises_of(path))
    cells = cells_of(path)
    (at,) = [i for i, c in enumerate(cells) if "predict" in c["metadata"].get("tags", [])]
    assert source(cells[at]).startswith("**Predict before you run.** ") and source(cells[at]).endswith("?")
    assert cells[at + 1]["cell_type"] == "code" and cells[at + 1]["outputs"] is not None
    assert len({c["id"] for c in cells}) == len(cells)


QUESTIONS = re.split(r"^## \d+\. .+$", text_of("quiz.md"), flags=re.MULTILINE)[1:]


def test_ten_questions_with_every_letter_right_somewhere():
    numbers = re.findall(r"^## (\d+)\. ", text_of("quiz.md"), re.MULTILINE)
    assert numbers == [str(i) for i in range(1, 11)] and len(QUESTIONS) == 10
    right = [re.search(r"\*\*([A-D])\.\*\*", question)[1] for question in QUESTIONS]
    assert set(right) == set("ABCD") and max(map(right.count, right)) <= 4, right


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_four_choices_and_one_answer_behind_a_fold(question):
    asked, folded = question.split("<details><summary>Answer</summary>")
    assert re.findall(r"^- ([A-D])\. .+\.$", asked, re.MULTILINE) == list("ABCD")
    assert not re.search(r"\*\*[A-D]", asked) and len(re.findall(r"\*\*[A-D]\.\*\*", folded)) == 1
    assert len(folded.split()) > 25
