"""Bands that others tuned: asked beside full tuning and the model before; those that are not there are named."""

import pytest

from paperlib.models.lineages import lineage_of
from paperlib.study.study import Study
from paperlib.tuning.lineage_bands import ask_bands, rows_of_bands, said_of_bands
from paperlib.tuning.lineage_stages import stages_of


@pytest.fixture
def asked(hub, study):
    here = Study.make("smoke", model="llava-1.5-7b", n_eval=2, retrain=False)
    return ask_bands(stages_of(here), here)


def test_every_band_that_is_there_is_asked_and_the_others_are_named(asked):
    results, absent = asked
    arms, bands = {run["arm"] for run in results.runs}, set(lineage_of("llava-1.5-7b").bands)
    named = {what.removeprefix("the band ") for what in absent}
    assert {"full", "stage 1"} <= arms and len(arms) >= 4
    assert (arms - {"stage 1"}) | named == bands | {"full"} and arms & named <= {"full"}
    assert all("can't be reached" in why for why in absent.values())
    counts = {len(run["answers"]) for run in results.runs}
    assert len(counts) == 1 and counts.pop() > 50


def test_rows(asked):
    rows = {row["arm"]: row for row in rows_of_bands(asked[0])}
    assert rows["full"]["keeps"] is None and rows["stage 1"]["gains"] is None
    band = next(arm for arm in rows if arm not in ("full", "stage 1"))
    share = asked[0].accuracy(band) / asked[0].accuracy("full")
    assert rows[band]["keeps"].value == pytest.approx(100 * share)
    assert f"*{band}*" in said_of_bands(list(rows.values()))
