"""Menus for a reader who is there; a line of text for papermill."""

from paperlib import interactive


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
