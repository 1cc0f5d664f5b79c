"""The Makefile, in a copy with pythons that only write down how they were called."""

import os
import shutil
import subprocess
import sys

import pytest
from test_snakefile import NAMES

from paperlib.study.study import CODE_ROOT

# The checks of what make was told really run. `-m venv` makes a folder with the same python in it.
FAKE = f"""#!/bin/sh
case "$*" in
  *version_info*|*make_arguments*) exec '{sys.executable}' "$@";;
esac
for word; do printf '[%s]' "$word" >> log; done
echo >> log
env > env.log
case "$*" in
  "-m venv"*)
    for folder; do :; done; mkdir -p "$folder/bin"; touch "$folder/pyvenv.cfg"
    cp "$0" "$folder/bin/python"; cp "$0" "$folder/bin/lint-imports";;
esac
"""


WRITTEN_TO = [
    "XDG_CACHE_HOME",
    "IPYTHONDIR",
    "MPLCONFIGDIR",
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
]


@pytest.fixture
def clone(tmp_path):
    """A copy of what make needs, in a folder with a blank in its name, beside another folder."""
    clone = tmp_path / "my work" / "clone"
    (clone / "paperlib" / "study").mkdir(parents=True)
    for name in (
        "Makefile",
        "Snakefile",
        "requirements.lock",
        "pyproject.toml",
        "paperlib/__init__.py",
        "paperlib/study/__init__.py",
        "paperlib/study/study.py",
        "paperlib/study/checks.py",
        "paperlib/study/make_arguments.py",
        "paperlib/study/grid.py",
        "paperlib/study/presets.py",
    ):
        shutil.copy(CODE_ROOT / name, clone / name)
    for folder in ("notebooks", "tests", "data/cache", "bin"):
        (clone / folder).mkdir(parents=True)
    (clone / "bin" / "fake").write_text(FAKE)
    (clone / "bin" / "fake").chmod(0o755)
    return clone


def make(clone, *words, **environment):
    """(exit status, all that it said)"""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name
        not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV", "PRESET", "CONFIG", "SEEDS", "PYTHONPATH", *WRITTEN_TO)
    }
    done = subprocess.run(
        ["make", "--no-print-directory", "PYTHON=bin/fake", *words],
        cwd=clone,
        capture_output=True,
        text=True,
        env=kept | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
    )
    return done.returncode, done.stdout + done.stderr


def calls(clone):
    return (clone / "log").read_text().splitlines() if (clone / "log").exists() else []


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_install_makes_an_environment_once(clone):
    for _ in range(2):
        status, said = make(clone, "install", "VENV=envs/new")
        assert status == 0, said
    assert [call for call in calls(clone) if "[venv]" in call] == ["[-m][venv][--clear][envs/new]"]
    assert "[torch==" in calls(clone)[1] and len([call for call in calls(clone) if "[install]" in call]) == 3


BAD = [
    "/",
    ".",
    "..",
    "",
    "thesis",
    "notes.txt",
    "thesis/my envs/paper",
    "thesis/my envs",
    "thesis other",
    "../../thesis",
    "thesis:x",
    "paperlib",
    "the%sis",
    "it's",
    "-x",
]


@pytest.mark.parametrize("target", ["install", "distclean", "figures"])
@pytest.mark.parametrize("venv", BAD)
def test_nothing_is_installed_into_or_removed_with_a_folder_that_is_no_environment(clone, target, venv):
    for place in (clone, clone.parent.parent):
        (place / "thesis" / "my envs" / "paper").mkdir(parents=True)
        (place / "thesis" / "chapter 1.txt").touch()
    (clone / "notes.txt").touch()
    (clone / "runs").mkdir()
    before = files(clone.parent.parent)
    status, said = make(clone, target, f"VENV={venv}")
    assert status != 0 and "VENV" in said
    assert files(clone.parent.parent) == before


def test_clean_and_distclean_remove_what_tools_left_and_nothing_else(clone):
    kept = [
        "notebooks/draft/a.txt",
        "notebooks/draft 2/a.txt",
        "notebooks/__pycache__ notes/a.txt",
        "paperlib/a b/c.py",
        "notebooks/.ipynb_checkpoints 2/a.txt",
        "figures/mini/a.png",
        "notebooks/Untitled.ipynb",
        "figures/smokestacks/a.png",
        "results/smoke_signals/a.json",
    ]
    gone = [
        "notebooks/draft 2/.ipynb_checkpoints/a.txt",
        "notebooks/.ipynb_checkpoints/x y.ipynb",
        "figures/smoke/a.png",
        "results/smoke-tiny-seed1/a.json",
        "paperlib/a b/__pycache__/c.pyc",
        "tests/__pycache__/t.pyc",
        "runs/mini/a b.ipynb",
        ".pytest_cache/x",
    ]
    for name in (*kept, *gone, "notebooks/new\nline/__pycache__/x", "notebooks/new\nline/x"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    (clone / "tests" / ".ipynb_checkpoints").touch()  # a file: no tool made it
    status, said = make(clone, "clean")
    assert status == 0, said
    assert not [name for name in gone if (clone / name).exists()] and all((clone / name).exists() for name in kept)
    assert (
        files(clone / "notebooks")[-2:] == ["new\nline", "new\nline/x"]
        and (clone / "tests/.ipynb_checkpoints").is_file()
    )
    assert (clone / "data" / "cache").exists()

    assert make(clone, "install", "VENV=envs/new")[0] == 0
    status, said = make(clone, "distclean", "VENV=envs/new")
    assert status == 0, said
    assert not (clone / "envs" / "new").exists() and not (clone / "data" / "cache").exists()
    assert all((clone / name).exists() for name in kept)


def test_bands_are_handed_what_make_was_told_and_words_come_before_assets(clone):
    told = ["PRESET=paper", "MODEL=llava-1.5-7b", "BANDS=full,6:17", "DATA=my data", "CONFIG=method=full lr=1e-5"]
    status, said = make(clone, "bands", "VENV=env", *told, "ACCELERATE=--use_fsdp --num_processes 8")
    assert status == 0, said
    words = "[paper][bands=full,6:17][data=my data][accelerate=--use_fsdp --num_processes 8]"
    words += "[model=llava-1.5-7b][method=full][lr=1e-5]"
    modules = [call.split("]")[1].removeprefix("[") for call in calls(clone) if call.startswith("[-m][paperlib.")]
    assert modules[-3:] == [
        "paperlib.tuning.scaled_band_arguments", "paperlib.tasks.assets", "paperlib.tuning.scaled_bands"
    ]  # fmt: skip
    assert [call for call in calls(clone) if call.endswith(words)] == [f"[-m][{m}]{words}" for m in modules[-3::2]]


@pytest.mark.parametrize(
    "words",
    [
        ["CONFIG=preset=smoke"],
        ["CONFIG=seed"],
        ["CONFIG=sed=1"],
        ["CONFIG=model=@me/x"],
        ["CONFIG=seed=1 seed=1"],
        ["PRESET="],
        ["PRESET=mini smoke"],
        ["PRESET=it's"],
        ["CONFIG=seed=010"],
    ],
)
@pytest.mark.parametrize("target", ["figures", "reference"])
def test_what_make_was_told_is_checked_before_anything_is_installed(clone, target, words):
    status, said = make(clone, target, *words)
    sentences = [line for line in said.splitlines() if not line.startswith("make: ***")]
    assert status != 0 and len(sentences) == 1 and sentences[0].startswith("make: "), said
    assert calls(clone) == []


@pytest.mark.parametrize("seeds", ["0,1", "", "0,0", "²", "0 1", "0;1", "$(nothing)x"])
def test_reference_is_handed_its_seeds_as_they_were_written(clone, seeds):
    make(clone, "reference", f"SEEDS={seeds}", "VENV=env")
    assert calls(clone)[-1] == f"[-m][paperlib.tuning.band_runs][mini][{seeds.replace('$(nothing)', '')}]"


def test_only_the_studys_notebooks_are_run_and_a_failure_keeps_no_other_from_running(clone):
    for name in ("Untitled.ipynb", "06_mine.ipynb", "a b.ipynb", f"{NAMES[0]}.ipynb"):
        (clone / "notebooks" / name).touch()
    status, said = make(clone, "notebooks", "test", "VENV=env")
    assert status == 0, said
    nbconvert, nbval = (
        next(call for call in calls(clone) if word in call) for word in ("[nbconvert]", "[--nbval-lax]")
    )
    assert nbconvert.endswith("".join(f"[notebooks/{name}.ipynb]" for name in NAMES))
    assert nbval.endswith("".join(f"[runs/smoke/{name}.ipynb]" for name in NAMES))
    assert "[paperlib.study.watch]" in nbconvert and "[--ExecutePreprocessor.timeout=-1]" in nbconvert
    assert all("[--keep-going]" in call for call in calls(clone) if "[snakemake]" in call)


def environment(clone):
    return dict(line.split("=", 1) for line in (clone / "env.log").read_text().splitlines() if "=" in line)


@pytest.mark.parametrize("home", ["/dev/null", "/etc/passwd", "/no/such/folder", ""])
def test_a_home_that_cannot_be_written_to_is_not_written_to(clone, home):
    assert make(clone, "install", "VENV=env", HOME=home)[0] == 0
    found = environment(clone)
    assert found["HOME"] == home  # pip finds its settings there
    for name in WRITTEN_TO:
        assert found[name].startswith(f"{clone}/data/cache/home/"), name


def test_a_home_that_can_be_written_to_stays(clone):
    assert make(clone, "install", "VENV=env", HOME=str(clone))[0] == 0
    found = environment(clone)
    assert not set(WRITTEN_TO) & set(found) and found["OMP_WAIT_POLICY"] == "passive"
