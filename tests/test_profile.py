"""The profile for SLURM: it names each notebook's rule and nothing else, and make hands it to Snakemake."""

import importlib
import importlib.metadata
import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from test_makefile import calls, clone, make  # noqa: F401 (a fixture)
from test_snakefile import NAMES

from paperlib.models.lineages import lineage_of
from paperlib.models.plan import GPUS, UTILISATION, memory, size_of
from paperlib.models.plan_work import arms_of, work_of
from paperlib.study.study import CODE_ROOT, Study

PROFILE = yaml.safe_load((CODE_ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))


def test_every_notebook_has_its_resources_and_no_other_rule_has():
    assert list(PROFILE["set-threads"]) == NAMES
    assert set(PROFILE["set-resources"]) == set(NAMES)
    for name in NAMES:
        found = PROFILE["default-resources"] | PROFILE["set-resources"][name]
        assert 30 <= found["runtime"] <= 24 * 60 and 16_000 <= found["mem_mb"] <= 128_000
        assert "gpu" not in found, "the rule itself asks for a GPU, and none at preset smoke"


def test_a_killed_job_is_sent_again_by_snakemake_alone():
    assert PROFILE["executor"] == "slurm" and PROFILE["retries"] >= 1
    # Without this word a cluster's own habit stands, and by default SLURM sends a job again when its node fails.
    assert PROFILE["slurm-no-requeue"] is True and "slurm-requeue" not in PROFILE


def test_its_times_leave_room_over_the_plan():
    """What the profile says it fits: LLaVA-1.5 7B at preset paper, one GPU of 40 GB."""
    lineage = lineage_of("llava-1.5-7b")
    study, size, (peak, _) = Study.make("paper", model=lineage.name), size_of(lineage), GPUS["a100-40gb"]
    needed = memory(study, lineage, size, "cuda")
    host = 1e3 * (needed["weights of one model"] + needed["the LLM before tuning, beside it"])  # MB
    work = work_of(study, size.image_tokens, arms_of(lineage))
    assert [w.notebook for w in work] == NAMES
    for w in work:
        given = PROFILE["default-resources"] | PROFILE["set-resources"][w.notebook]
        minutes = w.flops(size.llm) / (UTILISATION * peak * 1e12) / 60
        assert given["runtime"] >= 1.5 * minutes and given["mem_mb"] > 1.25 * host, w.notebook


def test_its_words_are_those_of_the_plugin():
    """Where the plugin is installed, every word for SLURM must be an option of it."""
    try:
        importlib.metadata.version("snakemake-executor-plugin-slurm")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("snakemake-executor-plugin-slurm is not installed: make plugin")
    settings = importlib.import_module("snakemake_executor_plugin_slurm").ExecutorSettings
    words = {word.removeprefix("slurm-").replace("-", "_") for word in PROFILE if word.startswith("slurm-")}
    assert words <= set(settings.__dataclass_fields__)


def test_the_plugin_is_an_extra_and_make_installs_that(clone):  # noqa: F811
    project = tomllib.loads((CODE_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [wanted] = project["optional-dependencies"]["cluster"]
    assert make(clone, "plugin", "VENV=env")[0] == 0
    installed = re.search(r"\[(snakemake-executor-plugin-slurm[^]]*)\]", calls(clone)[-1])
    assert installed and Requirement(installed[1]) == Requirement(wanted)


def test_make_runs_on_a_profile_and_refuses_a_folder_that_is_none(clone):  # noqa: F811
    (clone / "my profile").mkdir()
    status, said = make(clone, "figures", "VENV=env", "PROFILE=my profile")
    assert status != 0 and "holds no config.yaml" in said
    assert not [call for call in calls(clone) if "[snakemake]" in call]
    (clone / "my profile" / "config.yaml").write_text("executor: slurm\n")
    status, said = make(clone, "figures", "VENV=env", "PROFILE=my profile", "SEEDS=0,1")
    [call] = [call for call in calls(clone) if "[snakemake]" in call]
    assert status == 0 and "[--profile][my profile]" in call and "[seeds=0,1]" in call
    assert "[--cores]" not in call and "[--resources]" not in call  # the profile says how much at once
