"""Menus where someone is there to use them: notebooks run by papermill show a static figure instead."""

import os
from collections.abc import Callable
from typing import Any

import ipywidgets


def live() -> bool:
    """Whether a Jupyter front end runs this kernel; its server names the session, papermill and nbconvert don't."""
    return "JPY_SESSION_NAME" in os.environ


def menus(function: Callable, **choices: Any) -> None:
    """Let a reader call a function with values picked from menus (as `ipywidgets.interact` takes them) and a button.

    Headlessly, only a line that says so is printed.
    """
    if live():
        ipywidgets.interact_manual(function, **choices)
    else:
        print(f"In JupyterLab, menus appear here; or call {function.__name__}({', '.join(choices)}) yourself.")
