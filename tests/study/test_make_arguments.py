"""What make was told: VENV, PRESET, CONFIG."""

import subprocess
import sys

import pytest

from paperlib.study import make_arguments
from paperlib.study.make_arguments import check_config, check_venv
from paperlib.study.study import CODE_ROOT, Study, StudyError


@pytest.mark.parametrize("text", ["", " ", "my envs/paper", "envs\t", "a%b", "a$b", "a;b", "*", "it's", "a#b", "(a)"])
def test_a_venv_that_make_or_the_shell_would_misread(text):
    with pytest.raises(StudyError, match="VENV must be one path without blanks"):
        check_venv(text)


@pytest.mark.parametrize(
    "text", ["/", ".", "..", "paperlib", "README.md", "data/assets.toml", "~", "full", "empty", "link", "gone"]
)
def test_a_venv_that_is_there_and_is_no_environment(tmp_path, monkeypatch, text):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("full")
    (tmp_path / "gone").symlink_to("nothing")
    monkeypatch.setenv("HOME", str(tmp_path / "full"))
    monkeypatch.chdir(CODE_ROOT if (CODE_ROOT / text).exists() else tmp_path)
    with pytest.raises(StudyError, match="is there and is no environment"):
        check_venv(text)


def test_a_venv_that_holds_this_clone(tmp_path, monkeypatch):
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "src" / "clone").mkdir(parents=True)
    monkeypatch.setattr(make_arguments, "CODE_ROOT", tmp_path / "src" / "clone")
    with pytest.raises(StudyError, match="is there and"):
        check_venv(str(tmp_path))


def test_a_venv_that_serves(tmp_path):
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "link").symlink_to("env")
    for name in ("env", "link", "new", "envs/new", "my-envs_3.11/new+1"):
        check_venv(str(tmp_path / name))


REFUSED = [
    ("mini", ["preset=smoke"], "CONFIG cannot hold the preset: say PRESET=smoke."),
    ("mini", ["seed"], "CONFIG takes name=value"),
    ("mini", ["seed="], "CONFIG takes name=value"),
    ("mini", ["seed", "=", "1"], "CONFIG takes name=value"),
    ("mini", ["=1"], "CONFIG takes name=value"),
    ("mini", ["--forceall"], "CONFIG takes name=value"),
    ("mini", ["seed=1", "n_eval=3", "seed=2"], "CONFIG sets seed twice"),
    ("mini", ["seed=1", "seed=1"], "CONFIG sets seed twice"),
    ("mini", ["n_evals=3"], "There is no parameter 'n_evals'"),
    ("mini", ["Seed=3"], "There is no parameter 'Seed'"),
    ("large", [], "There is no preset 'large': say PRESET="),
    ("", [], "There is no preset ''"),
    ("mini ", [], "There is no preset 'mini '"),
    ("mini seed=1", [], "There is no preset 'mini seed=1'"),
]
NO_YAML = [f"model={value}" for value in ("@me/x", "`x`", "%x", "[a", "{a", "'a", "&", "a: b: c", "!x", "*x")]
WRONG_TYPE = [
    "seed=one",
    "seed=1.5",
    "seed=true",
    "retrain=1",
    "retrain=yess",
    "model=7",
    "n_eval=[1,2]",
    "n_eval={a: 1}",
]


@pytest.mark.parametrize(
    "preset, words, said",
    REFUSED
    + [("mini", [word], "cannot be read as YAML") for word in NO_YAML]
    + [("mini", [word], "must be a") for word in WRONG_TYPE],
)
def test_what_is_refused(preset, words, said):
    with pytest.raises(StudyError) as error:
        check_config(preset, words)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_what_is_taken():
    assert [run.study for run in check_config("mini", []).values()] == [Study.make("mini")]
    words = ["seed=1", "retrain=true", "n_eval=3", "model=a/b=c", "device=cpu"]
    wanted = Study.make("gpu", seed=1, retrain=True, n_eval=3, model="a/b=c", device="cpu")
    assert [run.study for run in check_config("gpu", words).values()] == [wanted]
    many = check_config("smoke", ["models=tiny,a/b", "seeds=0,1"])
    assert [(run.study.model, run.study.seed) for run in many.values()] == [
        ("tiny", 0), ("tiny", 1), ("a/b", 0), ("a/b", 1)
    ]  # fmt: skip


def run(*words, isolated=False):
    """The command; isolated: without the packages of the environment, as before the first installation."""
    command = [sys.executable, *["-S"] * isolated, "-m", "paperlib.study.make_arguments", *words]
    return subprocess.run(command, cwd=CODE_ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("isolated", [False, True])
def test_command_line(isolated):
    assert run("new-env", "mini", "seed=1", isolated=isolated).returncode == 0
    for words in (["..", "mini"], ["new-env", "nano"], ["new-env", "mini", "seed"], ["new-env", "mini", "sed=1"]):
        done = run(*words, isolated=isolated)
        assert done.returncode == 1 and done.stderr.startswith("make: ") and done.stderr.count("\n") == 1


def test_a_device_is_no_traceback_before_the_installation():
    done = run(".venv", "mini", "device=cuda", isolated=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("text", ["-x", "--clear"])
def test_a_venv_that_a_command_would_read_as_an_option(text):
    with pytest.raises(StudyError, match="VENV must be one path"):
        check_venv(text)


@pytest.mark.parametrize("name", ["thesis.tex", "src", ".git"])
def test_a_venv_that_holds_something_else_too(tmp_path, name):
    (tmp_path / "pyvenv.cfg").touch()
    for part in ("bin", "lib", "share", ".installed", name):
        (tmp_path / part).mkdir()
    with pytest.raises(StudyError, match=f"holds {name}, which is no part of an environment"):
        check_venv(str(tmp_path))


@pytest.mark.parametrize(
    "word",
    ["model=2024-13-45", "seed=" + "9" * 5000, "model=" + "[" * 5000]  # YAML's own errors are of other kinds
    + ["model=#x", "model=&x", "n_eval=~", "device=null", "model=|"]  # nothing, to YAML
    + ["seed=010", "seed=0x10", "seed=1:30", "seed=1_000", "seed=+5", "seed=0b11"],  # 8, 16, 90, 1000, 5 and 3
)
def test_values_that_yaml_reads_as_something_else(word):
    with pytest.raises(StudyError, match="cannot be read as YAML") as error:
        check_config("mini", [word])
    assert "\n" not in str(error.value) and len(str(error.value)) < 200
