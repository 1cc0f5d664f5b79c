"""Slides from the committed notebooks: `python docs/slides.py build/slides`. Nothing runs and nothing is fetched.

A section of a notebook becomes a few slides: what it asks (its first sentences), the prompt to predict, each figure,
and what came out (the sentences that the run printed). Exercises are left out. Arrows, space and swipes turn the pages.
"""

import html
import json
import re
import shutil
import sys
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
TEXT, SAID = 420, 4  # letters of text on a slide; printed sentences on a slide
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="slides.css">
<script src="slides.js" defer></script>
</head>
<body>
<main>
{slides}
</main>
</body>
</html>
"""
markdown = MarkdownIt()


def sentences(text: str, letters: int = TEXT) -> str:
    """The first whole sentences of a paragraph, as many as fit; at least one."""
    found = ""
    for part in re.split(r"(?<=[.?!])\s+", " ".join(text.split())):
        if found and len(found) + len(part) > letters:
            break
        found = f"{found} {part}".strip()
    return found


def plain_links(text: str) -> str:
    """Markdown without its links: slides stand alone."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def first_paragraph(text: str) -> str:
    """The first paragraph of Markdown that is no heading, list, table or picture."""
    for block in re.split(r"\n\s*\n", text):
        if block.strip() and not re.match(r"\s*(#|\||[-*] |\d+\. |!\[)", block):
            return block
    return ""


def printed(cell: dict) -> list[str]:
    """The sentences that a cell printed as Markdown; headings and lists of them are left out."""
    found = []
    for output in cell.get("outputs", []):
        text = "".join(output.get("data", {}).get("text/markdown", ""))
        found += [block for block in re.split(r"\n\s*\n", text) if block.strip() and not block.startswith(("#", "- "))]
    return found


def figures_of(cell: dict, number: str) -> list[str]:
    """The figures that a cell publishes and that preset mini has, by file name."""
    names = re.findall(r'publish\(\s*"(\w+)"', "".join(cell["source"]))
    paths = [ROOT / "figures" / "mini" / f"{number}_{name}.png" for name in names]
    return [path.name for path in paths if path.is_file()]


def slide(heading: str, body: str, kind: str = "text") -> str:
    """One slide. heading: Markdown; body: HTML."""
    return f'<section class="{kind}" tabindex="-1">\n<h2>{markdown.renderInline(heading)}</h2>\n{body}</section>'


def said_slides(heading: str, said: list[str]) -> list[str]:
    """What came out, a few sentences to a slide."""
    groups = [said[i : i + SAID] for i in range(0, len(said), SAID)][:1]
    return [
        slide(
            f"{heading}: what came out", "<ul>" + "".join(f"<li>{line(text)}</li>" for text in group) + "</ul>", "said"
        )
        for group in groups
    ]


def line(text: str) -> str:
    """A printed paragraph as HTML, cut after a whole sentence."""
    return markdown.renderInline(plain_links(sentences(text, TEXT // 2)))


def deck(notebook: dict, number: str) -> list[str]:
    """All slides of a notebook."""
    slides: list[str] = []
    heading, said, skipped = "", [], False
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            title = re.search(r"^(#{1,2}) (.+)$", text, re.MULTILINE)
            if title:
                slides += said_slides(heading, said)
                heading, said, skipped = re.sub(r"^\d+ · ", "", title[2]), [], "Exercises" in title[2]
                start = first_paragraph(text[title.end() :])
                body = f"<p>{markdown.renderInline(plain_links(sentences(start)))}</p>" if start else ""
                if not skipped:
                    slides.append(
                        slide(title[2] if title[1] == "#" else heading, body, "title" * (title[1] == "#") or "text")
                    )
            if "predict" in cell["metadata"].get("tags", []) and not skipped:
                asked = text.removeprefix("**Predict before you run.** ")
                slides.append(slide("Predict", f"<p>{markdown.renderInline(plain_links(asked))}</p>", "predict"))
        elif not skipped and "solution" not in cell["metadata"].get("tags", []):
            for name in figures_of(cell, number):
                words = html.escape(f"{heading}: {name[3:-4].replace('_', ' ')}")
                slides.append(slide(heading, f'<img src="figures/{name}" alt="{words}">', "figure"))
            said += printed(cell)
    return slides + (said_slides(heading, said) if not skipped else [])


def main(to: Path) -> None:
    """Write a page of slides for each notebook, and one that lists them, into the folder `to`."""
    shutil.rmtree(to, ignore_errors=True)
    (to / "figures").mkdir(parents=True)
    for name in ("slides.css", "slides.js"):
        shutil.copy(ROOT / "docs" / "_slides" / name, to)
    listed = []
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        title = "".join(notebook["cells"][0]["source"]).splitlines()[0].lstrip("# ")
        slides = deck(notebook, path.stem[:2])
        for name in re.findall(r'src="figures/([^"]+)"', "".join(slides)):
            shutil.copy(ROOT / "figures" / "mini" / name, to / "figures")
        (to / f"{path.stem}.html").write_text(PAGE.format(title=title, slides="\n".join(slides)), encoding="utf-8")
        listed.append(f'<li><a href="{path.stem}.html">{html.escape(title)}</a></li>')
    start = slide("Slides", f"<ul>{''.join(listed)}</ul>", "text")
    (to / "index.html").write_text(PAGE.format(title="Slides", slides=start), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Say the folder that the slides go to: python docs/slides.py build/slides")
    main(Path(sys.argv[1]))
