"""What `make` was told, checked before anything is installed, run or removed.

    python -m paperlib.study.make_arguments "$(VENV)" "$(PRESET)" $(CONFIG)

Needs no package, so that it works before there is an environment; values are then read as YAML by the Snakefile alone.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

from paperlib.study.grid import Run, runs_of
from paperlib.study.presets import PRESETS
from paperlib.study.study import CODE_ROOT, Study, StudyError

# What `python -m venv`, pip and make install leave at the top of an environment.
OF_A_VENV = {"pyvenv.cfg", "bin", "include", "lib", "lib64", "share", "etc", "man", "Scripts", "Lib", "Include"}
OF_A_VENV |= {".installed", ".gitignore", ".lock", "CACHEDIR.TAG"}
# What make or the shell would read as something else than a part of a name.
SPECIAL = re.compile(r"[\s%:;#'\"$*?\\`&|<>(){}\[\]!]")


def check_venv(text: str) -> None:
    """Refuse a VENV that `make install` could empty or `make distclean` could remove although it holds something else.

    Raises StudyError: for no path, one with blanks or special characters, one that holds this clone, and one that is
    there and is no environment or holds something else beside it.
    """
    if not text or SPECIAL.search(text) or text.startswith("-"):
        raise StudyError(
            f"VENV must be one path without blanks and special characters, got {text!r}: name another with "
            f"make VENV=..."
        )
    path = Path(os.path.expanduser(text))
    holds_this = path.resolve() in (CODE_ROOT, *CODE_ROOT.parents)
    is_venv = (path / "pyvenv.cfg").is_file()
    if holds_this or (os.path.lexists(path) and not is_venv):
        raise StudyError(
            f"VENV={text} is there and is no environment of Python's, so nothing is installed into it or removed: "
            f"name a folder that does not exist yet."
        )
    if foreign := is_venv and sorted({entry.name for entry in path.iterdir()} - OF_A_VENV):
        raise StudyError(
            f"VENV={text} holds {foreign[0]}, which is no part of an environment and would be removed with it: name a "
            f"folder that does not exist yet."
        )


def check_config(preset: str, words: list[str]) -> dict[str, Run]:
    """The runs of PRESET and of words "name=value", which are those of CONFIG, and models=, seeds=.

    Raises StudyError for what cannot be used.
    """
    config = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise StudyError(f"CONFIG takes name=value, with blanks between and none around the sign, got {word!r}.")
        if name == "preset":
            raise StudyError(f"CONFIG cannot hold the preset: say PRESET={value}.")
        if name in config:
            raise StudyError(f"CONFIG sets {name} twice: leave one.")
        config[name] = value
    if preset not in PRESETS:  # before YAML, which would read an empty one as none
        raise StudyError(f"There is no preset {preset!r}: say PRESET= and one of {', '.join(PRESETS)}.")
    if importlib.util.find_spec("yaml") is None:  # before the first installation names alone can be checked
        Study.make(preset, **dict.fromkeys(set(config) - {"models", "seeds"}))
        return {}
    return runs_of({"preset": preset} | values(config))


def values(config: dict) -> dict:
    """Values as the YAML that they are written in: Snakemake reads retrain=true as the string "true".

    Raises StudyError for a value that is no YAML, that is nothing to YAML, or a number to it that looks like another.
    """
    import yaml

    read = {}
    for name, value in config.items():
        try:
            read[name] = yaml.safe_load(value) if isinstance(value, str) else value
            nothing = read[name] in (None, "") and value is not None  # the preset's value would be taken without a word
            if nothing or (type(read[name]) is int and str(read[name]) != str(value)):  # YAML's 010 is 8
                raise ValueError("another value than it looks like")
        except (yaml.YAMLError, ValueError, RecursionError):  # a date that there is not, a number without end
            raise StudyError(
                f"{name}={value[:60]} cannot be read as YAML: give a plain word, a number in plain digits, true or "
                f"false."
            ) from None
    return read


if __name__ == "__main__":
    try:
        check_venv(sys.argv[1])
        check_config(sys.argv[2], sys.argv[3:])
    except StudyError as error:
        sys.exit(f"make: {error}")
