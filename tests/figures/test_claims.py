"""Tests of paperlib.figures.claims: README's table is made of results."""

import pytest

from paperlib.figures.claims import BEGIN, END, claims_table, main, overall, with_table
from paperlib.stats.tables import write_table
from paperlib.study import CODE_ROOT, Study
from paperlib.study.results import ResultError


def claim(number, verdict="supported", needed=None):
    return {
        "claim": number,
        "method": "probes",
        "event": "transfer",
        "verdict": verdict,
        "finding": "It rises by 3.1 [2.0, 4.2].",
        "n": 1900,
        "needed": needed,
    }


def test_rows_in_the_order_of_claims_each_claim_named_once(study):
    write_table(study, "04_claims", [claim("C4"), claim("C1")], {}, {})
    write_table(study, "02_claims", [claim("C1", "not supported")], {}, {})
    lines = claims_table(study.results).splitlines()[2:]
    assert [line.split(" | ")[0][:5].strip() for line in lines] == ["| C1,", "|", "|", "| C4,"]
    assert "**not supported**" in lines[0] and "It rises by 3.1 [2.0, 4.2]. | 1,900 |  |" in lines[3]


def test_a_claim_as_a_whole_counts_an_event_once(study):
    rows = [claim("C2"), claim("C2") | {"method": "patching"}, claim("C2", "inconclusive", 4321) | {"event": "entry"}]
    write_table(study, "02_claims", rows, {}, {})
    lines = claims_table(study.results).splitlines()[2:]
    assert "*all methods* | **inconclusive** | counted once, as one event: probes and patching" in lines[-1]
    assert "| 4,321 |" in lines[2] and overall(rows) == "inconclusive"
    assert overall([row | {"event": str(i)} for i, row in enumerate(rows)]) == "supported", "two of three events"


def test_between_the_marks_and_nowhere_else():
    text = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    assert with_table(text, "new") == f"above\n{BEGIN}\nnew\n{END}\nbelow\n"
    for broken in ("no marks", f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"):
        with pytest.raises(ResultError, match="once each"):
            with_table(broken, "new")


def test_no_results_is_one_sentence(study):
    with pytest.raises(ResultError, match="no claims"):
        claims_table(study.results)


def test_stale_is_noticed_and_mended(study, monkeypatch):
    home = Study.make("mini")
    write_table(home, "02_claims", [claim("C2")], {}, {})
    readme = home.root / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    with pytest.raises(SystemExit, match="stale"):
        main(["--check"])
    main([])
    main(["--check"])
    assert "It rises" in readme.read_text()


def test_the_committed_readme_says_what_the_committed_results_say(monkeypatch):
    monkeypatch.setenv("PAPERLIB_ROOT", str(CODE_ROOT))
    main(["--check"])


def test_bars_and_line_breaks_end_no_cell(study):
    row = claim("C1") | {"method": "P(yes|picture)", "finding": "one\ntwo | three", "n": 3}
    write_table(study, "02_claims", [row], {}, {})
    line = claims_table(study.results).splitlines()[-1]
    assert r"P(yes\|picture)" in line and r"one two \| three" in line and line.count(" | ") == 5
