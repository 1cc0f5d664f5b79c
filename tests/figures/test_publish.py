"""Figures: the same bytes twice, redrawn from JSON alone, legible, showing the numbers they were given."""

import copy
import errno
import json
import os
import shutil
import subprocess
import sys
import types
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn import accuracies, texts_of
from PIL import Image

from paperlib.figures import diagrams
from paperlib.figures import publish as figures
from paperlib.study import CODE_ROOT
from paperlib.study.results import ResultError, read_result
from paperlib.tasks.charts import draw_chart
from paperlib.tasks.scenes import draw_scene

ROOT = CODE_ROOT
PROVENANCE = {"preset": "smoke", "seed": 0}


def curve(n, start, end, seed):
    step, noise = np.arange(1, n + 1), np.random.default_rng(seed).normal(0, 0.1, n)
    return {"step": step.tolist(), "loss": (end + (start - end) * np.exp(-6 * step / n) + noise).tolist()}


FEW = ["colour", "shape", "existence", "count"]
MANY = FEW + ["size", "position", "relation", "knowledge", "category", "name", "chart_value", "text category"]
CHANCE = dict.fromkeys(MANY, 0.25) | {"existence": 0.5}
CONDITIONS = ["own picture", "another picture", "blank picture", "question alone"]
LONG = "A large fire engine at the top left and a small purple triangle for $5 or $6 at the top right."
DATA = {
    "ledger": {
        "xlabel": "margin",
        "groups": [
            {
                "claim": "C1",
                "method": "bypass",
                "verdict": "inconclusive",
                "rows": [
                    {
                        "condition": f"what remains of ${i}",
                        "seen": "18 % [-29, 44]",
                        "margin": [i, i - 1, i + 1, 9],
                        "stands": stands,
                    }
                    for i, stands in enumerate(("open", "against", "for"))
                ],
            }
        ],
    },
    "loss_curves": {"stage 1": curve(120, 7, 3, 0), "stage 2": curve(700, 3, 0.4, 1)},
    "accuracy_by_model": {"chance": CHANCE, "models": accuracies(["untrained", "stage 1", "tuned"], MANY)},
    "controls": {"chance": CHANCE, "conditions": accuracies(CONDITIONS, FEW)},
    "scene_gallery": {
        "pictures": [draw_scene("test", 0, i, style="shapes").to_dict() for i in range(5)]
        + [draw_chart("test", 0, 0).to_dict()],
        "captions": [LONG, "A dog.", "Some bread at the bottom left.", "A $ sign.", LONG, "A cat."],
        "credit": "Pictures: Twemoji graphics, Copyright Twitter, Inc and other contributors, CC-BY 4.0.",
    },
    "token_map": {
        "tokens": [["<|im_start|>", "template"], ["user", "template"], ["\n", "template"]]
        + [["<image>", "image"]] * 16
        + [[word, "question"] for word in ["What", "Ġcolor", *[" is", " the", " $5"] * 8, "?"]]
        + [["Ċ", "template"], ["red", "answer"], ["\U0001f600", "answer"]]
    },
    "packed_mask": {
        "turns": [LONG, "How many? two", "A $ sign? no"],
        "branch": [0] * 19 + [1] * 45 + [2] * 20 + [3] * 20,
    },
    "choice_probabilities": {
        "questions": [
            {
                "question": question,
                "answer": "red",
                "choices": choices,
                "stages": {stage: [1 / len(choices)] * len(choices) for stage in ("untrained", "stage 1", "tuned")},
            }
            for question, choices in (
                ("What color is the shape at the top left?", ["red", "a hot dog", "$5", "blue"]),
                ("Is it red?", ["red", "no"]),
            )
        ]
    },
    "layer_curves": {
        "xlabel": "relative depth",
        "columns": 2,
        "panels": [
            {
                "title": LONG,
                "ylabel": "accuracy (%)",
                "marks": [[50, "chance"]],
                "spans": [[0.3, 0.6, "middle third"]],
                "lines": [
                    {
                        "label": "images, tuned",
                        "x": [0, 0.5, 1],
                        "y": [40, 70, None],
                        "low": [30, 60, None],
                        "high": [50, 80, None],
                    }
                ],
            }
        ]
        * 3,
    },
    "layer_maps": {
        "xlabel": "text layer",
        "ylabel": "image layer",
        "value": "overlap (%)",
        "ridge": True,
        "maps": [{"title": "tuned", "values": [[0, 1, 2], [5, 4, 3]]}] * 2,
    },
    "lens_grid": {
        "picture": draw_scene("test", 0, 0, style="shapes").to_dict(),
        "credit": "Pictures: CC-BY 4.0.",
        "panels": [{"title": "layer 3", "words": [["$5", "dog"], ["", "incorpor"]]}] * 2,
    },
    "shares": {
        "xlabel": "share of full tuning (%)",
        "rows": ["full", "mid, entered", "costs $5"],
        "series": {
            "step time": {"full": [100, 100, 100], "mid, entered": [51, 48, 55]},
            "FLOPs": {"full": [100, 100, 100], "mid, entered": [44, 44, 44], "costs $5": [70, 60, 80]},
        },
        "marks": [[75.7, "OneVision-4B in the paper"]],
    },
    "dots": {
        "xlabel": "effect (points)",
        "counts": True,
        "columns": 2,
        "panels": [
            {
                "title": LONG,
                "n": 1200,
                "series": {
                    "over early": {"probes": [3, 1, 5, 40], "patching, $5": [1, -2, 4, 12_000]},
                    "over late": {"probes": [-3, -5, -1, 40], "patching, $5": None},
                },
                "marks": [[0, "no effect"]],
                "chance": {"probes": 2},
            },
            {
                "title": "single",
                "series": {"tuned": {"probes": [2], "patching, $5": [1, 0, 2]}},
                "marks": [[0, "no effect"], [4, "goal"]],
                "xlabel": "nats",
            },
            {"title": "", "series": {"tuned": {"a row more": [5, 4, 6, 7]}}, "share": False},
        ],
    },
    "benchmark_map": {
        "rows": ["full", "mid"],
        "columns": ["colour", "object_count"],
        "panels": [
            {"title": "accuracy", "value": "accuracy (%)", "values": [[90, 80], [None, 40]]},
            {"title": "change", "value": "points", "values": [[0, 0], [-3, 5]], "centre": 0},
        ],
    },
    "verdict_map": {
        "rows": ["C1, bypass", "C2, patching"],
        "columns": ["mini, seed 0", "other, seed 1"],
        "values": [["supported", None], ["not supported", "precondition not met"]],
    },
    "pareto": {
        "xlabel": "time (%)",
        "ylabel": "accuracy (%)",
        "points": [
            {"label": "full", "x": [100, 100, 100], "y": [70, 66, 74]},
            {"label": "mid", "x": [57, 55, 60], "y": [69, 65, 73]},
            {"label": "late", "x": [45, 44, 47], "y": [60, 55, 64]},
        ],
        "marks": [[50, "before tuning"]],
    },
}


def draw(name):
    return figures.DRAW[name](copy.deepcopy(DATA[name]))


def save(folder, name):
    return figures.save_figure(draw(name), folder, f"01_{name}", name, DATA[name], PROVENANCE)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """name -> the JSON of a figure saved by the first test that asks for it: look, don't change."""
    folder = tmp_path_factory.mktemp("saved")
    return lru_cache(lambda name: save(folder / name, name))


def images(path):
    return [path.with_suffix(ending).read_bytes() for ending in (".pdf", ".png")]


@pytest.mark.parametrize("name", DATA)
def test_every_figure_is_registered_and_writes_three_files(name, saved):
    path = saved(name)
    assert sorted(p.name for p in path.parent.iterdir()) == [f"01_{name}.{e}" for e in ("json", "pdf", "png")]
    stored = read_result(path)
    assert stored["data"] == {"figure": name, "drawn": json.loads(json.dumps(DATA[name]))}
    assert stored["provenance"] == PROVENANCE
    pdf, png = images(path)
    assert pdf.startswith(b"%PDF") and b"CreationDate" not in pdf and b"/FontFile2" in pdf
    assert png.startswith(b"\x89PNG") and b"Software" not in png
    with Image.open(path.with_suffix(".png")) as image:
        assert image.width / 200 == pytest.approx(7.0) or image.width / 200 == pytest.approx(3.4)


def test_data_covers_every_figure():
    assert DATA.keys() == figures.DRAW.keys()


@pytest.mark.parametrize("name", DATA)
def test_bytes_are_the_same_twice_and_after_showing(name, saved, tmp_path):
    shown = draw(name)
    shown.savefig(tmp_path / "shown.png", dpi=72, bbox_inches="tight")
    again = figures.save_figure(shown, tmp_path / "again", f"01_{name}", name, DATA[name], PROVENANCE)
    assert images(again) == images(saved(name)) and again.read_bytes() == saved(name).read_bytes()


def test_bytes_do_not_depend_on_a_readers_defaults(saved, tmp_path):
    with matplotlib.rc_context({"font.size": 20, "pdf.fonttype": 3, "axes.grid": True, "figure.dpi": 55}):
        assert images(save(tmp_path, "loss_curves")) == images(saved("loss_curves"))
    assert matplotlib.rcParams["font.size"] == matplotlib.rcParamsDefault["font.size"]


def test_redrawn_in_another_process_byte_for_byte(saved, tmp_path):
    """From its JSON alone, in place of a picture that is there or missing."""
    paths = [Path(shutil.copy(saved(name), tmp_path)) for name in DATA]
    for path in paths:
        path.with_suffix(".png").write_bytes(b"old")
    command = [sys.executable, "-m", "paperlib.figures.publish", *map(str, paths)]
    env = os.environ | {"PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("drew ") == len(paths)
    assert [images(path) for path in paths] == [images(saved(name)) for name in DATA]


def test_redraw_in_this_process(tmp_path):
    path = save(tmp_path, "token_map")
    before = images(path)
    figures.redraw(path)
    assert images(path) == before


def test_drawing_needs_no_torch():
    code = "import sys, paperlib.figures.publish; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("name", DATA)
def test_text_is_legible(name):
    """At least 7 points, inside the figure, and never on top of other text."""
    fig = draw(name)
    texts = texts_of(fig)
    assert texts
    for text, box in texts:
        assert text.get_fontsize() >= 7, text.get_text()
        assert fig.bbox.x0 - 1 <= box.x0 and box.x1 <= fig.bbox.x1 + 1, text.get_text()
        assert fig.bbox.y0 - 1 <= box.y0 and box.y1 <= fig.bbox.y1 + 1, text.get_text()
    for (a, box_a), (b, box_b) in combinations(texts, 2):
        apart = box_a.padded(-0.5)
        assert not apart.overlaps(box_b.padded(-0.5)), (a.get_text(), b.get_text())


def test_token_map_joins_equal_neighbours_and_counts_roles():
    shown = [t.get_text() for t, _ in texts_of(draw("token_map"))]
    assert "<image> × 16" in shown and "image (16)" in shown and "answer (2)" in shown
    assert "␣$5" in shown and "↵" in shown and "□" in shown and "␣color" in shown


def test_gallery_shows_pictures_whole_captions_and_credit():
    fig = draw("scene_gallery")
    shown = [" ".join(t.get_text().split()) for t, _ in texts_of(fig)]
    assert shown[:-1] == DATA["scene_gallery"]["captions"] and "CC-BY 4.0" in shown[-1]
    pictures = [np.asarray(draw_scene("test", 0, i, style="shapes").render()) for i in range(5)]
    pictures.append(np.asarray(draw_chart("test", 0, 0).render()))
    for image, picture in zip(fig.axes[0].images, pictures, strict=True):
        assert (image.get_array() == picture).all()


def test_gallery_keeps_the_shape_of_pictures(monkeypatch):
    wide = types.SimpleNamespace(render=lambda: Image.new("RGB", (30, 20)))
    monkeypatch.setattr(diagrams, "picture_of", lambda stored: wide)
    left, right, bottom, top = draw("scene_gallery").axes[0].images[0].get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(30 / 20)


def test_figures_are_not_shown_twice_in_a_notebook():
    before = plt.get_fignums()
    draw("controls")
    assert plt.get_fignums() == before


def test_bad_input_is_refused_in_one_sentence(tmp_path, monkeypatch):
    fig = draw("controls")
    with pytest.raises(ValueError, match="no figure 'pie': choose one of .*loss_curves"):
        figures.save_figure(fig, tmp_path, "x", "pie", {}, PROVENANCE)
    with pytest.raises(ValueError, match="no role 'system'"):
        diagrams.token_map({"tokens": [["a", "system"]]})
    with pytest.raises(ValueError, match="a caption for each picture, got 0 for 1"):
        diagrams.scene_gallery({"pictures": [{}], "captions": [], "credit": ""})
    path = save(tmp_path, "controls")
    text = path.read_text()
    path.write_text(text.replace('"controls"', '"pie"'))
    with pytest.raises(ResultError, match="sha256"):
        figures.redraw(path)
    path.write_text(text)
    monkeypatch.delitem(figures.DRAW, "controls")
    with pytest.raises(ResultError, match="01_controls.json holds no figure"):
        figures.redraw(path)


def test_command_line_says_what_is_wrong(tmp_path, capsys):
    with pytest.raises(SystemExit, match="Name the JSON files"):
        figures.main([])
    with pytest.raises(SystemExit, match="There is no result"):
        figures.main([str(tmp_path / "missing.json")])


def test_nothing_half_written_is_left_when_drawing_fails(tmp_path, monkeypatch):
    path = save(tmp_path, "controls")
    before = images(path)
    fig = draw("controls")
    monkeypatch.setattr(fig, "savefig", lambda *_, **__: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError):
        figures.save_figure(fig, tmp_path, "01_controls", "controls", DATA["controls"], PROVENANCE)
    assert images(path) == before and len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("ending", ["json", "pdf", "png"])
def test_a_full_disk_leaves_the_old_figure_whole(tmp_path, monkeypatch, ending):
    path = save(tmp_path, "controls")
    before, write = {p.name: p.read_bytes() for p in tmp_path.iterdir()}, Path.write_bytes

    def full(to, content):
        write(to, content[:9])
        if f".{ending}." in to.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    new = {**PROVENANCE, "seconds": 9.0}
    with pytest.raises(ResultError, match=f"01_controls.{ending} could not be written to .*No space left"):
        figures.save_figure(draw("controls"), tmp_path, "01_controls", "controls", DATA["controls"], new)
    if ending != "json":
        with pytest.raises(SystemExit, match="No space left"):
            figures.main([str(path)])
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
