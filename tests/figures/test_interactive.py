"""How a notebook begins; menus for a reader who is there, a line of text for papermill."""

import nbclient
import nbformat
import pytest

from paperlib.figures import interactive
from paperlib.study.study import Study, StudyError

PARAMETERS = {"preset": "mini", "seed": 0, "overrides": {}}


def look(layer, edge):
    return layer, edge


def test_headless(monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    interactive.menus(look, layer=(0, 3), edge=["a", "b"])
    assert "look(layer, edge)" in capsys.readouterr().out


def test_live(monkeypatch):
    shown = []
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    monkeypatch.setattr(interactive.ipywidgets, "interact_manual", lambda f, **choices: shown.append((f, choices)))
    interactive.menus(look, layer=(0, 3), edge=["a", "b"])
    assert shown == [(look, {"layer": (0, 3), "edge": ["a", "b"]})]


def test_a_notebook_begins_with_its_parameters():
    assert Study.of_notebook(PARAMETERS) == Study.make("mini")
    names = {"preset": "smoke", "seed": 3, "overrides": {"n_eval": 2}, "In": [""], "os": pytest}
    assert Study.of_notebook(names) == Study.make("smoke", seed=3, n_eval=2)
    assert Study.of_notebook(PARAMETERS | {"model": object()}) == Study.make("mini")  # a reader's own


@pytest.mark.parametrize(
    "name, value",
    [
        ("n_eval", 2),
        ("retrain", True),
        ("device", "cpu"),
        ("model", "tiny"),
        ("stage1_steps", "5"),
        ("n_eval", None),
        ("batch_size", 1.5),
        ("n_eval", [2]),
    ],
)
def test_a_parameter_beside_overrides_is_refused(name, value):
    with pytest.raises(StudyError, match=f"{name} has no effect as a variable of its own: pass it in overrides"):
        Study.of_notebook(PARAMETERS | {name: value})


@pytest.mark.parametrize("overrides", ["{n_eval: 2}", "", ["n_eval", 2], [], None, 2, True, {1: 2}])
def test_overrides_that_are_no_dict_are_refused(overrides):
    with pytest.raises(StudyError, match="overrides must be a dict such as"):
        Study.of_notebook(PARAMETERS | {"overrides": overrides})


@pytest.mark.parametrize("name", ["preset", "seed"])
def test_overrides_hold_no_parameter_of_its_own(name):
    with pytest.raises(StudyError, match=f"overrides cannot hold {name}"):
        Study.of_notebook(PARAMETERS | {"overrides": {name: PARAMETERS[name]}})


@pytest.mark.parametrize("backend", ["agg", "TkAgg", "pdf", "svg", None])
def test_a_notebook_holds_its_pictures_whatever_the_backend_around_it(monkeypatch, backend):
    if backend:
        monkeypatch.setenv("MPLBACKEND", backend)
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(code)
            for code in (
                f"from paperlib.figures import Notebook, style\nbook = Notebook('02_probe_layers', {PARAMETERS})",
                "import matplotlib.pyplot as plt\nfrom matplotlib.figure import Figure\n"
                "plt.figure(figsize=(1, 1)).add_subplot()",
                "fig = Figure((1, 1))\nfig.add_subplot()\nfig",
            )
        ]
    )
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert notebook.cells[0].outputs == []
    for cell in notebook.cells[1:]:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs)
