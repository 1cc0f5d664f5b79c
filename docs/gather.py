"""Puts the sources of the web site together in one folder: `python docs/gather.py build/site-source`.

Pages come from docs/, the documents at the root, the committed notebooks and the figures of preset mini. Links among
files of the repository become links to pages. A link to a file that has no page becomes its path, as plain code.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "GLOSSARY.md", "CONTRIBUTING.md", "CHANGELOG.md")
WINGS = ("tuning", "interventions", "scoring", "probes", "figures", "geometry", "models", "tasks", "stats", "study")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^()\s]+)\)")
FENCED = re.compile(r"^```.*?^```[^\n]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def page_of(path: str) -> str | None:
    """The page or copied file for a path of the repository, as a path of the gathered folder; None if there is none."""
    if re.fullmatch(r"notebooks/\d\d_\w+\.ipynb", path) or path in DOCUMENTS or path.startswith("figures/mini/"):
        return path
    if path.startswith("docs/explorer"):
        return "explorer/index.html"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    wing = re.match(r"paperlib/(\w+)", path)
    return f"api/{wing[1]}.md" if wing and wing[1] in WINGS else None


def mended(text: str, source: str, at: str) -> str:
    """Markdown of the file `source` of the repository with its links as the page `at` needs them.

    Code is left as it is. Links out of the repository, and those within a page, stay.
    """
    code: list[str] = []

    def aside(match: re.Match) -> str:
        code.append(match[0])
        return f"\x00{len(code) - 1}\x00"

    def mend(match: re.Match) -> str:
        picture, words, target = match.groups()
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", target) or not path:
            return match[0]
        there = os.path.normpath(Path(source).parent / path)
        page = page_of(there)
        if page is None or not (ROOT / there).exists():
            return words if "\x00" in words else f"{words} (`{there}`)"
        to = os.path.relpath(page, Path(at).parent)
        if page == "explorer/index.html":  # it is no page of Sphinx: HTML passes it by
            return f'<a href="{to}">{words}</a>'
        return f"{picture}[{words}]({to}{'#' * bool(anchor)}{anchor})"

    text = LINK.sub(mend, FENCED.sub(aside, text))
    return re.sub("\x00(\\d+)\x00", lambda m: code[int(m[1])], text)


def folded(notebook: dict, name: str) -> dict:
    """A notebook whose code is folded, whose links lead to pages, and that begins with its download.

    The figures that a cell publishes get a place before it, which the gallery links to.
    """
    number, cells = name[:2], []
    for i, cell in enumerate(notebook["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            at = f"notebooks/{name}.ipynb"
            cell["source"] = mended(text, at, at)
            if i == 0:
                title, _, rest = cell["source"].partition("\n")
                cell["source"] = f"{title}\n\n{{download}}`Download this notebook <../downloads/{name}.ipynb>`\n{rest}"
        else:
            cell["metadata"].setdefault("tags", []).append("hide-input")
            for figure in re.findall(r'publish\(\s*"(\w+)"', text):
                place = {"cell_type": "markdown", "metadata": {}, "id": f"at-{figure.replace('_', '-')}"}
                cells.append(place | {"source": f'<span id="figure-{number}_{figure}"></span>'})
        cells.append(cell)
    return notebook | {"cells": cells}


def gallery(names: list[str]) -> str:
    """The page of all figures of preset mini: what each shows, from its JSON, and where it was drawn."""
    parts = ["# Gallery", "Every figure of preset `mini`. The link leads to the cell of the notebook that drew it."]
    now = ""
    for picture in sorted((ROOT / "figures" / "mini").glob("*.png")):
        record = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
        made, data = record["provenance"], record["data"]
        name = made["notebook"]
        if name not in names:
            continue
        if name != now:
            parts.append(f"## {title_of(name)}")
            now = name
        words = picture.stem[3:].replace("_", " ")
        titles = [p["title"] for p in data["drawn"].get("panels", []) if isinstance(p, dict) and p.get("title")]
        panels = f" Panels: {'; '.join(titles)}." if titles else ""
        tables = f" From {', '.join(f'`{t}`' for t in data['results'])}." if data.get("results") else ""
        parts.append(
            f"```{{figure}} figures/mini/{picture.name}\n:alt: {words}\n\n**{words.capitalize()}** "
            f"(drawn as `{data['figure']}`, n = {made['n']:,}).{panels}{tables} "
            f'<a href="notebooks/{name}.html#figure-{picture.stem}">Where it was drawn</a>\n```'
        )
    return "\n\n".join(parts) + "\n"


def title_of(name: str) -> str:
    """The title of a notebook: its first line."""
    notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    return "".join(notebook["cells"][0]["source"]).splitlines()[0].lstrip("# ")


def api(wing: str) -> str:
    """The page of a wing: its own text, and every public module in it."""
    folder = ROOT / "paperlib" / wing
    parts = [f"# paperlib.{wing}"]
    modules = [folder / "__init__.py", *sorted(p for p in folder.rglob("*.py") if p != folder / "__init__.py")]
    for path in modules:
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if any(part.startswith("_") for part in dotted.split(".")):
            continue
        if dotted != f"paperlib.{wing}":
            parts.append(f"## {dotted.removeprefix(f'paperlib.{wing}.')}")
        only = "\n:no-members:" if path.stem == "__init__" else ""
        parts.append(f"```{{eval-rst}}\n.. automodule:: {dotted}{only.replace(chr(10), chr(10) + '   ')}\n```")
    return "\n\n".join(parts) + "\n"


def main(to: Path) -> None:
    """Fill the folder `to` anew."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(ROOT / "docs", to, ignore=shutil.ignore_patterns("*.py", "explorer", "__pycache__"))
    for path in to.rglob("*.md"):
        here = path.relative_to(to).as_posix()
        path.write_text(mended(path.read_text(encoding="utf-8"), f"docs/{here}", here), encoding="utf-8")
    for name in DOCUMENTS:
        text = re.sub(r"<!-- claims: \w+.*?-->\n?", "", (ROOT / name).read_text(encoding="utf-8"))
        (to / name).write_text(mended(text, name, name), encoding="utf-8")
    names = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))]
    for folder in ("notebooks", "downloads", "api", "_extra"):
        (to / folder).mkdir(exist_ok=True)
    for name in names:
        path = ROOT / "notebooks" / f"{name}.ipynb"
        shutil.copy(path, to / "downloads")
        notebook = folded(json.loads(path.read_text(encoding="utf-8")), name)
        (to / "notebooks" / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    (to / "figures" / "mini").mkdir(parents=True)
    for picture in (ROOT / "figures" / "mini").glob("*.png"):
        shutil.copy(picture, to / "figures" / "mini")
    (to / "gallery.md").write_text(gallery(names), encoding="utf-8")
    for wing in WINGS:
        (to / "api" / f"{wing}.md").write_text(api(wing), encoding="utf-8")
    if (ROOT / "docs" / "explorer").is_dir():
        shutil.copytree(ROOT / "docs" / "explorer", to / "_extra" / "explorer")
        (to / "explore.md").write_text(
            '# Explorer\n\nChange an answer yourself: <a href="explorer/index.html">open the explorer</a>.\n', "utf-8"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
