"""All runs at hand side by side: figures over models, the table of verdicts, and what a run lacks."""

import json
import shutil

import pytest

from paperlib.figures.compare import compare, find_runs, main, verdict_map, verdict_table
from paperlib.study import CODE_ROOT
from paperlib.study.results import ResultError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The committed run, and a second one of another model that lacks a table."""
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path))
    for name, model in (("mini", "mini"), ("mini-other-seed1", "org/other")):
        shutil.copytree(CODE_ROOT / "results" / "mini", tmp_path / "results" / name)
        for path in (tmp_path / "results" / name).glob("*.json"):
            found = json.loads(path.read_text())
            found["provenance"] |= {"model": model, "seed": int(model != "mini")}
            path.write_text(json.dumps(found))
    (tmp_path / "results" / "mini-other-seed1" / "03_knockout.json").unlink()
    return tmp_path


def test_figures_and_verdicts_of_two_models(root, capsys):
    main([])
    said = capsys.readouterr().out
    assert "mini-other-seed1 has no table 03_knockout." in said and "compared mini and mini-other-seed1" in said
    folder = root / "figures" / "compare" / "mini"
    drawn = json.loads((folder / "patching.json").read_text())["data"]["drawn"]
    assert [line["label"] for line in drawn["panels"][0]["lines"]] == ["mini", "other"]
    alone = json.loads((folder / "knockout.json").read_text())["data"]["drawn"]
    assert [line["label"] for line in alone["panels"][0]["lines"]] == ["mini"]
    made = json.loads((folder / "patching.json").read_text())["provenance"]
    assert made["runs"] == ["mini", "mini-other-seed1"] and made["tables"] == ["03_patching"]
    table = (root / "results" / "compare" / "mini.md").read_text()
    assert table.splitlines()[0] == "| claim and method | mini, seed 0 | other, seed 1 |"
    assert (folder / "verdicts.png").is_file() and len(table.splitlines()) > 8


def test_only_the_runs_that_are_named(root, capsys):
    main(["mini"])
    assert "compared mini." in capsys.readouterr().out


def test_presets_are_not_mixed(root, capsys):
    for path in (root / "results" / "mini-other-seed1").glob("*.json"):
        found = json.loads(path.read_text())
        found["provenance"]["preset"] = "smoke"
        path.write_text(json.dumps(found))
    main([])
    said = capsys.readouterr().out
    assert "mini: compared mini." in said and "smoke: compared mini-other-seed1." in said


def test_a_verdict_that_a_run_lacks_is_absent():
    rows = [
        {"claim": "C2", "method": "m", "verdict": "supported", "run": "a", "model": "x", "seed": 0},
        {"claim": "C1", "method": "n", "verdict": "not supported", "run": "b", "model": "y", "seed": 1},
    ]
    made = verdict_map(rows)
    assert made["rows"] == ["C1, n", "C2, m"] and made["values"] == [[None, "not supported"], ["supported", None]]
    assert "| C1, n | absent | not supported |" in verdict_table(rows)


def test_no_runs_and_damaged_runs(tmp_path, monkeypatch, root):
    with pytest.raises(ResultError, match="There are no results under"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(ResultError, match="no results of a run 'mine'"):
        find_runs(root, ["mine"])
    damaged = root / "results" / "mini" / "02_profiles.json"
    damaged.write_text("{")
    with pytest.raises(ResultError, match="02_profiles.json"):
        compare(root, find_runs(root))
    with pytest.raises(SystemExit) as error:
        main([])
    assert "02_profiles.json" in str(error.value)
