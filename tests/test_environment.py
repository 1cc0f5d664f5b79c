"""Tests of the pins (requirements.*, environment.yml) and of what tracked files may name."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from paperlib.study.study import CODE_ROOT


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


def imports(text):
    """Third-party modules that a Python text imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    own = {path.stem for path in (CODE_ROOT / "tests").rglob("*.py")} | {"paperlib", "tests"}
    return names - sys.stdlib_module_names - own


def sources(folder):
    """Texts by path, of what runs in this environment; fixtures are made in one of their own."""
    paths = [path for path in (CODE_ROOT / folder).rglob("*.py") if path.parent.name != "fixtures"]
    return {path.relative_to(CODE_ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def cells():
    """The code of each notebook, by path."""
    notebooks = {
        path: json.loads(path.read_text(encoding="utf-8")) for path in (CODE_ROOT / "notebooks").glob("*.ipynb")
    }
    return {
        path.name: "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
        for path, notebook in notebooks.items()
    }


PROJECT = tomllib.loads((CODE_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
# What the study does without (data sets, clusters, lmms-eval): imported by name where it is there.
UNLOCKED = [requirement for extra in ("benchmarks", "cluster", "lmms") for requirement in EXTRAS.pop(extra)]
DECLARED = NEEDED + [requirement for extra in EXTRAS.values() for requirement in extra]


def undeclared(texts, *requirements):
    """What texts {place: code} import from packages that are not among the requirements."""
    packages, names = importlib.metadata.packages_distributions(), {canonicalize_name(r.name) for r in requirements}
    return {
        f"{place} imports {module}"
        for place, text in texts.items()
        for module in imports(text)
        if not names & {canonicalize_name(package) for package in packages.get(module, [])}
    }


def test_the_package_declares_its_requirements_and_python():
    assert PROJECT["requires-python"] == ">=3.11" and sys.version_info >= (3, 11)
    assert undeclared(sources("paperlib"), *NEEDED) == {"paperlib/interventions/lmms.py imports lmms_eval"}
    assert undeclared(cells(), *NEEDED, *EXTRAS["notebooks"]) == set()
    snakefile = re.findall(r"^(?:import|from) .*", (CODE_ROOT / "Snakefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert snakefile and undeclared({"Snakefile": "\n".join(snakefile)}, *NEEDED, *EXTRAS["run"]) == set()
    assert undeclared(sources("tests"), *NEEDED, *EXTRAS["test"], *EXTRAS["run"]) == set()


def test_an_undeclared_import_is_found():
    assert undeclared({"a.py": "def f():\n    from scipy.stats import t\nimport json, numpy.random"}, *NEEDED[:1]) == {
        "a.py imports scipy",
        "a.py imports numpy",
    }


def test_commands_that_make_runs_are_declared():
    makefile = (CODE_ROOT / "Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"-m ([a-z]+)\b", makefile)) - {"pip", "venv", "paperlib"}
    declared = {canonicalize_name(r.name) for r in DECLARED}
    assert commands and commands <= declared, commands - declared


def test_ranges_are_ranges_and_every_pin_lies_in_its_range():
    """The package may be installed beside other versions than the study's, and the study's are among them."""
    names = [canonicalize_name(requirement.name) for requirement in DECLARED]
    assert len(names) == len(set(names))
    for requirement in DECLARED:
        assert {s.operator for s in requirement.specifier} <= {">=", "<"} and requirement.specifier, requirement
        assert requirement.specifier.contains(LOCK[canonicalize_name(requirement.name)]), requirement


def test_extras_that_the_study_does_without_are_in_no_pin_and_change_none():
    names = {canonicalize_name(requirement.name) for requirement in UNLOCKED}
    wanted = {"datasets", "pyarrow", "pycocoevalcap", "snakemake-executor-plugin-slurm", "lmms-eval"}
    assert names == wanted and not names & set(LOCK)
    assert all({s.operator for s in requirement.specifier} == {">=", "<"} for requirement in UNLOCKED)
    assert not names & {module for text in sources("paperlib").values() for module in imports(text)}


def test_lmms_eval_finds_the_adapter():
    assert PROJECT["entry-points"] == {"lmms_eval.models": {"paperlib": "paperlib.interventions.lmms:manifest"}}


def test_what_the_lock_is_made_from_is_declared():
    assert set(pins(lines("requirements.in"))) <= {canonicalize_name(requirement.name) for requirement in DECLARED}


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


HOOKS = [
    hook
    for repository in yaml.safe_load((CODE_ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    for hook in repository["hooks"]
]


def test_hooks_before_a_commit_fetch_nothing():
    repositories = yaml.safe_load((CODE_ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    assert all(hook["language"] == "system" and not hook.get("additional_dependencies") for hook in HOOKS)


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_hooks_before_a_commit_run_what_is_locked(hook):
    """Each entry is a module or a program of the environment, and its package is locked."""
    program, *arguments = hook["entry"].split()
    assert program.startswith(".venv/bin/")
    if (name := program.removeprefix(".venv/bin/")) == "python":
        option, module, *arguments = arguments
        assert option == "-m"
        packages = importlib.metadata.packages_distributions()[module]
    else:
        (script,) = importlib.metadata.entry_points(group="console_scripts", name=name)
        packages = [script.dist.name]
    assert {canonicalize_name(package) for package in packages} & set(LOCK)
    assert all((CODE_ROOT / argument).exists() for argument in arguments if "/" in argument)


def test_hooks_before_a_commit_check_what_make_lint_checks():
    lint = (CODE_ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    checks = [re.sub(r" paperlib tests docs$", "", line.strip()) for line in lint.splitlines()[1:]]
    hooked = [hook["entry"].replace(".venv/bin", "$(BIN)") for hook in HOOKS]
    assert len(checks) >= 4 and set(checks) <= set(hooked), set(checks) - set(hooked)
