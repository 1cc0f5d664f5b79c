"""Tests of the pins (requirements.*, environment.yml) and of what tracked files may name."""

import ast
import importlib.metadata
import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from paperlib.study.parameters import CODE_ROOT


def lines(name):
    text = (CODE_ROOT / name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(requirements):
    """{canonical name: version}; every requirement must be pinned with == and nothing else."""
    found = {}
    for line in requirements:
        match = re.fullmatch(r"([A-Za-z0-9_.-]+)==([A-Za-z0-9_.!]+)", line)
        assert match, f"{line} is not pinned as name==version"
        assert canonicalize_name(match[1]) not in found, f"{line} is there twice"
        found[canonicalize_name(match[1])] = match[2]
    return found


LOCK = pins(lines("requirements.lock"))


def test_conda_and_make_install_the_same_pins_in_the_same_order():
    environment = yaml.safe_load((CODE_ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge"] and environment["name"] == "paperlib"
    python, pip, section = environment["dependencies"]
    assert python == "python=3.11" and pip == "pip"
    assert section["pip"] == lines("requirements.lock")


def test_torch_is_pinned_exactly_and_first():
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", lines("requirements.lock")[0])
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", lines("requirements.in")[0])


def test_the_lock_holds_what_is_asked_for_and_no_gpu_libraries():
    asked = pins(lines("requirements.in"))
    assert asked == {name: LOCK.get(name) for name in asked}
    unwanted = [
        name
        for name in LOCK
        if name.startswith(("nvidia", "cuda", "triton"))
        or name in ("pip", "wheel", "torchvision", "torchaudio", "timm")
    ]
    assert unwanted == []


def test_the_lock_is_closed():
    """What a locked package requires, on this platform, is locked too, at a version that satisfies it."""
    problems = []
    for name in LOCK:
        for text in importlib.metadata.requires(name) or []:
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
                continue
            version = LOCK.get(canonicalize_name(wanted.name))
            on_gpu_builds = canonicalize_name(wanted.name).startswith(("nvidia", "cuda", "triton"))
            if version is None and not on_gpu_builds:
                problems.append(f"{name} needs {wanted.name}")
            elif version and not wanted.specifier.contains(Version(version), prereleases=True):
                problems.append(f"{name} needs {wanted}, not {version}")
    assert problems == []


def test_what_is_installed_is_what_is_locked():
    installed = {name: importlib.metadata.version(name).split("+")[0] for name in LOCK}  # torch may be +cpu
    assert installed == LOCK


def test_every_import_is_locked():
    """Third-party modules that paperlib and the tests import belong to packages in the lock."""
    packages = importlib.metadata.packages_distributions()
    files = [*(CODE_ROOT / "paperlib").rglob("*.py"), *(CODE_ROOT / "tests").rglob("*.py")]
    files = [path for path in files if path.parent.name != "fixtures"]  # made in an environment of their own
    own = {path.stem for path in (CODE_ROOT / "tests").rglob("*.py")} | {"paperlib", "tests"}
    unlocked = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom) and node.level == 0
                else []
            )
            for module in {name.split(".")[0] for name in names} - sys.stdlib_module_names - own:
                if not any(canonicalize_name(d) in LOCK for d in packages.get(module, [])):
                    unlocked.add(f"{path.name} imports {module}")
    assert unlocked == set()


def test_the_package_declares_its_requirements_and_python():
    import tomllib

    project = tomllib.loads((CODE_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == ">=3.11" and sys.version_info >= (3, 11)
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.in"]}


def tracked_texts():
    """(path, text) of every text file that git tracks, or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=CODE_ROOT, capture_output=True, text=True
    )
    if listed.returncode != 0:
        pytest.skip("not a git clone, so what is tracked is unknown")
    for name in sorted(set(listed.stdout.splitlines())):
        path = CODE_ROOT / name
        if path.is_file() and b"\0" not in path.read_bytes()[:8192] and path.suffix not in (".png", ".pdf"):
            yield name, path.read_text(encoding="utf-8", errors="replace")


# Built from pieces, so that this file does not name what it forbids.
REGISTRIES = re.compile(
    "|".join(
        re.escape(host)
        for host in [
            "py" + "pi.org",
            "python" + "hosted.org",
            "download." + "pytorch.org",
            "conda." + "anaconda.org",
            "--index-" + "url",
            "--extra-index-" + "url",
        ]
    )
)
ABSOLUTE = re.compile(
    r"(?<![\w.~$})+/=-])/(?:home|Users|root|work|tmp|opt|mnt|private|workspace)/\w"
    r"|\b[A-Z]:\\\\?Users"
)


def test_no_tracked_file_names_a_registry_or_an_absolute_path():
    found = []
    for name, text in tracked_texts():
        for pattern in (REGISTRIES, ABSOLUTE):
            found += [f"{name}: {text[max(0, m.start() - 20) : m.end() + 20]!r}" for m in pattern.finditer(text)]
    assert found == []


def test_the_patterns_find_what_they_should():
    assert REGISTRIES.search("see https://" + "py" + "pi.org/simple")
    for path in ("/ho" + "me/me/x", "open('/tm" + "p/x')", "C:" + "\\Users\\me"):
        assert ABSOLUTE.search(path), path
    for path in ("a/work/b", "$HOME/tmp/x", "#!/usr/bin/env bash", "runs/tmp/x"):
        assert not ABSOLUTE.search(path), path


def test_git_ignores_what_runs_make():
    ignored = [
        ".venv/x",
        "data/cache/x",
        "runs/mini/x.ipynb",
        ".snakemake/x",
        "figures/smoke/x.json",
        "notebooks/.ipynb_checkpoints/x",
        "paperlib/__pycache__/x.pyc",
    ]
    kept = ["figures/mini/x.json", "data/adapters/x.safetensors", "data/assets.toml", "notebooks/x.ipynb", ".ci/run"]
    done = subprocess.run(
        ["git", "-C", str(CODE_ROOT), "check-ignore", "--no-index", *ignored, *kept], capture_output=True, text=True
    )
    if done.returncode == 128:
        pytest.skip("not a git clone")
    assert done.stdout.split() == ignored
