"""The doors into the project: container, hosted Jupyter, citation, archive. What they name is there."""

import json
import os
import re
import tomllib

import pytest
import yaml

from paperlib import __version__
from paperlib.study.study import CODE_ROOT

MAKEFILE = (CODE_ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def instructions():
    """The instructions of the Dockerfile, continued lines joined, as (word, rest)."""
    text = re.sub(r"\\\n", " ", (CODE_ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def test_the_container_has_the_python_of_the_environment_and_another_user_than_root():
    found = dict(instructions())
    version = re.fullmatch(r"python:(3\.\d+)-slim-\w+", found["FROM"])[1]
    environment = yaml.safe_load((CODE_ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert f"python={version}" in environment["dependencies"]
    words = [word for word, _ in instructions()]
    assert not (CODE_ROOT / "Dockerfile").exists(), "hosted Jupyter would build it in place of environment.yml"
    assert found["USER"] != "root" and words.index("USER") < words.index("COPY") and words[-1] == "CMD"


def test_the_container_calls_targets_that_there_are():
    said = [rest for word, rest in instructions() if word == "RUN"]
    called = {
        word for line in said for words in re.findall(r"(?:^|&& )make((?: [a-z]+)+)", line) for word in words.split()
    }
    called |= {json.loads(rest)[1] for word, rest in instructions() if word == "CMD"}
    assert {"install", "assets", "figures"} <= called and called <= TARGETS


@pytest.mark.parametrize(
    "kept", ["Makefile", "notebooks", "paperlib", "requirements.lock", "data/adapters", "data/assets.toml"]
)
def test_the_container_is_given_what_the_study_needs(kept):
    ignored = (CODE_ROOT / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert not any(kept == line or kept.startswith(f"{line}/") for line in ignored)
    assert ".venv" in ignored and "data/cache" in ignored


def test_hosted_jupyter_gets_the_package_and_the_assets():
    text = (CODE_ROOT / "postBuild").read_text(encoding="utf-8")
    assert os.access(CODE_ROOT / "postBuild", os.X_OK) and text.startswith("#!/bin/bash\n")
    assert "pip install --no-deps" in text and "python -m paperlib.tasks.assets" in text


def test_citation_and_archive_agree_with_the_package():
    citation = yaml.safe_load((CODE_ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation) and citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software" and all("name" in a or "family-names" in a for a in citation["authors"])
    told = json.loads((CODE_ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    project = tomllib.loads((CODE_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert told["version"] == citation["version"] == __version__
    assert told["license"] == citation["license"] == project["license"] and told["title"] == citation["title"]
    (paper,) = citation["references"]
    (related,) = told["related_identifiers"]
    assert paper["identifiers"][0]["value"] == related["identifier"] == "arXiv:2606.03871"
    assert [a["name"] for a in told["creators"]] == [a["name"] for a in citation["authors"]]


def test_make_opens_the_lab_and_writes_the_archive():
    assert {"lab", "archive", "site", "student", "explorer"} <= TARGETS
