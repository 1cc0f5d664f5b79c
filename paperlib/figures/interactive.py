"""How a notebook begins, and menus where someone is there to use them: papermill shows a static figure instead."""

import os
from collections.abc import Callable
from dataclasses import fields

import ipywidgets
from IPython import get_ipython

from paperlib.study.parameters import Study, StudyError


def begin(names: dict) -> Study:
    """The study of a notebook's parameters cell; names: the notebook's globals(). Figures are then shown in it.

    Raises StudyError for overrides that are no dict, and for a parameter beside it, which would have no effect (papermill -p
    n_eval 2).
    """
    preset, seed, overrides = (names[name] for name in ("preset", "seed", "overrides"))
    if not isinstance(overrides, dict) or not all(isinstance(name, str) for name in overrides):
        raise StudyError(f"overrides must be a dict such as {{'n_eval': 2}}, got {overrides!r}: pass it as YAML (papermill -y "
                         f"'overrides: {{n_eval: 2}}').")
    for f in fields(Study):
        inside = f.name in ("preset", "seed")
        if inside and f.name in overrides:
            raise StudyError(f"overrides cannot hold {f.name}, which is a parameter of its own: pass {f.name} beside it.")
        # A reader's own variables may have such names, as `model` for an object.
        if not inside and f.name in names and isinstance(names[f.name], (bool, int, float, str, list, dict, type(None))):
            raise StudyError(f"{f.name} has no effect as a variable of its own: pass it in overrides (papermill -y "
                             f"'overrides: {{{f.name}: {names[f.name]}}}').")
    study = Study.make(preset, seed=seed, **overrides)
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        shell.run_line_magic("matplotlib", "inline")  # MPLBACKEND=agg or the like would leave the notebook without pictures
    return study


def live() -> bool:
    """Whether a Jupyter front end runs this kernel; its server names the session, papermill and nbconvert don't."""
    return "JPY_SESSION_NAME" in os.environ


def menus(function: Callable, **choices) -> None:
    """Let a reader call a function with values picked from menus (as `ipywidgets.interact` takes them) and a button.

    Headlessly, only a line that says so is printed.
    """
    if live():
        ipywidgets.interact_manual(function, **choices)
    else:
        print(f"In JupyterLab, menus appear here; or call {function.__name__}({', '.join(choices)}) yourself.")
