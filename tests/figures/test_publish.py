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
from matplotlib.text import Text
from PIL import Image

from paperlib.figures import curves, diagrams, style
from paperlib.figures import publish as figures
from paperlib.figures.comparisons import accuracy_by_model, controls
from paperlib.stats.accuracy import Interval
from paperlib.study import CODE_ROOT
from paperlib.study.results import ResultError, read_result
from paperlib.tasks.charts import draw_chart
from paperlib.tasks.scenes import draw_scene

ROOT = CODE_ROOT
PROVENANCE = {"preset": "smoke", "seed": 0}


def curve(n, start, end, seed):
    step, noise = np.arange(1, n + 1), np.random.default_rng(seed).normal(0, 0.1, n)
    return {"step": step.tolist(), "loss": (end + (start - end) * np.exp(-6 * step / n) + noise).tolist()}


def accuracies(names, kinds, n=100):
    rng = np.random.default_rng(0)
    value = lambda: float(rng.uniform(0.1, 0.9))
    return {name: {kind: Interval(v := value(), v - 0.09, v + 0.08, n) for kind in kinds} for name in names}


FEW = ["colour", "shape", "existence", "count"]
MANY = FEW + ["size", "position", "relation", "knowledge", "category", "name", "chart_value", "text category"]
CHANCE = dict.fromkeys(MANY, 0.25) | {"existence": 0.5}
CONDITIONS = ["own picture", "another picture", "blank picture", "question alone"]
LONG = "A large fire engine at the top left and a small purple triangle for $5 or $6 at the top right."
DATA = {
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
    "benchmark_map": {
        "rows": ["full", "mid"],
        "columns": ["colour", "object_count"],
        "panels": [
            {"title": "accuracy", "value": "accuracy (%)", "values": [[90, 80], [None, 40]]},
            {"title": "change", "value": "points", "values": [[0, 0], [-3, 5]], "centre": 0},
        ],
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


def texts_of(fig):
    """The texts that are drawn, and where; matplotlib also keeps labels of ticks beyond the axes."""
    fig.draw_without_rendering()
    beyond = set()
    for axis in (axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = sorted(axis.get_view_interval())
        beyond |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    texts = [t for t in fig.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in beyond]
    return [(t, t.get_window_extent()) for t in texts if t.get_window_extent().width > 0]


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


@pytest.mark.parametrize("series, kinds", [(1, 1), (1, 20), (3, 10), (4, 11), (7, 4)])
def test_dot_plots_of_every_size_are_legible(series, kinds):
    names = [f"model number {i}" for i in range(series)]
    labels = [f"kind_of_question_{i}" for i in range(kinds)]
    data = {"chance": {}, "models": accuracies(names, labels, n=12_345)}
    fig = accuracy_by_model(data)
    texts = texts_of(fig)
    for (a, box_a), (b, box_b) in combinations(texts, 2):
        assert not box_a.padded(-0.5).overlaps(box_b.padded(-0.5)), (a.get_text(), b.get_text())
    for text, box in texts:
        assert fig.bbox.x0 - 1 <= box.x0 and box.x1 <= fig.bbox.x1 + 1, text.get_text()
    shown = {text.get_text() for text, _ in texts}
    assert {label.replace("_", " ") for label in labels} | set(names) <= shown and "n = 12,345" in shown


def test_dots_and_intervals_are_the_numbers():
    fig = draw("accuracy_by_model")
    drawn = {}
    for ax in fig.axes:
        kinds = [t.get_text() for t in ax.get_yticklabels()]
        bars = [c for c in ax.collections if c.get_label() != "chance"]
        for line, bar in zip(ax.lines, bars):
            segments = bar.get_segments()
            for x, y, segment in zip(line.get_xdata(), line.get_ydata(), segments):
                drawn[line.get_label(), kinds[round(y)]] = (x, *segment[:, 0])
                assert segment[0, 1] == segment[1, 1] == pytest.approx(y)
        chance = next(c for c in ax.collections if c.get_label() == "chance")
        for segment in chance.get_segments():
            kind = kinds[round(segment[:, 1].mean())]
            assert segment[:, 0] == pytest.approx([50, 50] if kind == "existence" else [25, 25])
    for model, values in DATA["accuracy_by_model"]["models"].items():
        for kind, interval in values.items():
            assert drawn[model, kind.replace("_", " ")] == pytest.approx(100 * np.array(interval[:3]))
    assert len(drawn) == 3 * len(MANY)


def test_a_kind_that_one_model_lacks_is_left_out_for_it():
    data = copy.deepcopy(DATA["controls"])
    del data["conditions"]["question alone"]["shape"]
    data["conditions"]["own picture"]["count"] = [0.5, 0.4, 0.6, 80]
    fig = controls(data)
    assert [len(line.get_xdata()) for line in fig.axes[0].lines] == [4, 4, 4, 3]
    assert "n = 80–100" in {t.get_text() for t, _ in texts_of(fig)}


def test_loss_curve_has_the_running_mean_and_its_band():
    rng = np.random.default_rng(0)
    loss = rng.normal(2, 0.5, 400).tolist()
    ax = curves.loss_curves({"stage 1": {"step": list(range(400)), "loss": loss}}).axes[0]
    dots, mean = ax.lines
    assert dots.get_ydata().tolist() == loss
    assert mean.get_ydata()[200] == pytest.approx(np.mean(loss[190:211]))
    assert mean.get_ydata()[0] == pytest.approx(np.mean(loss[:11]))
    band = ax.collections[0].get_paths()[0].vertices
    at_200 = band[np.isclose(band[:, 0], 200)][:, 1]
    spread = np.std(loss[190:211])
    assert sorted(at_200) == pytest.approx([mean.get_ydata()[200] - spread, mean.get_ydata()[200] + spread])
    assert ax.get_ylabel() == "loss (nats per token)" and ax.get_xlabel() == "update"


def test_a_short_loss_curve_is_drawn():
    curves.loss_curves({"stage 1": {"step": [1, 2], "loss": [3.0, 2.0]}})


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


def test_set_style_reaches_a_readers_own_figures():
    with matplotlib.rc_context():
        style.set_style()
        assert plt.rcParams["font.size"] == 8
        assert plt.rcParams["axes.prop_cycle"].by_key()["color"][0] == style.BLUE


def test_series_colours_are_okabe_ito_and_markers_differ():
    colours, markers = zip(*style.SERIES)
    assert set(colours) <= set(style.OKABE_ITO) and len(set(colours)) == len(set(markers)) == len(colours)


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
