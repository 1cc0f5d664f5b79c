"""One look for each stage; texts of a known width."""

import pytest

from paperlib.figures import style
from paperlib.figures.style import STAGE_COLOURS, looks, stage_of, titled


def test_series_colours_are_okabe_ito_and_markers_differ():
    colours, markers = zip(*style.SERIES)
    assert set(colours) <= set(style.OKABE_ITO) and len(set(colours)) == len(set(markers)) == len(colours)


@pytest.mark.parametrize(
    "label, stage",
    [
        ("tuned", "tuned"),
        ("stage 1", "stage 1"),
        ("untrained", "untrained"),
        ("tuned, massive dimensions kept", "tuned"),
        ("stage 1 (n = 20)", "stage 1"),
        ("untrained: pictures", "untrained"),
        ("tuned connector, stage-1 blocks", None),
        ("tuned up to this depth", None),
        ("untrained connector", None),
        ("pictures, tuned", None),
        ("stage 10", None),
        ("", None),
    ],
)
def test_which_labels_show_a_stage(label, stage):
    assert stage_of(label) == stage


def test_a_stage_has_its_colour_in_every_figure_and_nothing_else_has():
    labels = ["stage 1", "a", "tuned, kept", "b", "c", "d", "tuned"]
    found = looks(labels, {"stage 1": 5, "a": 0, "b": 1, "c": 6, "d": 0})
    assert found["stage 1"][0] == STAGE_COLOURS["stage 1"] == looks(["stage 1"])["stage 1"][0]
    assert found["tuned"] == found["tuned, kept"] == (STAGE_COLOURS["tuned"], "o")
    others = [found[label] for label in "abcd"]
    assert not {colour for colour, _ in others} & set(STAGE_COLOURS.values())
    assert found["a"] == found["d"] and len(set(others)) == 3  # one number, one look
    assert found["c"] == style.SERIES[6]  # a look that is free stays


def test_without_stages_every_look_is_used_in_order():
    assert list(looks("abcdefg").values()) == list(style.SERIES)
    assert looks("ab", {"b": 0})["b"] == style.SERIES[0]
    assert len(set(looks(map(str, range(20))).values())) == 20, "colours come again with other markers"


def test_all_arms_of_a_figure_can_be_told_apart():
    arms = ["stage 1", "full", "mid", "mid, late entry", "late", "sparse", "early", "complement"]
    found = looks(arms)
    assert len(set(found.values())) == len(arms) and found["stage 1"] == looks(["stage 1", "a"])["stage 1"]
    assert not {look[0] for arm, look in found.items() if arm != "stage 1"} & set(STAGE_COLOURS.values())


def test_colours_of_stages_are_colour_blind_safe_and_differ_in_lightness():
    def lightness(colour):
        r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.299 * r + 0.587 * g + 0.114 * b

    assert len(set(STAGE_COLOURS.values())) == 3 and set(STAGE_COLOURS.values()) <= set(style.OKABE_ITO)
    ordered = sorted(map(lightness, set(STAGE_COLOURS.values())))
    assert all(b - a > 5 for a, b in zip(ordered, ordered[1:]))


def test_titles_hold_n():
    assert titled({"title": "a_b", "n": 1234}) == "a b (n = 1,234)"
    assert titled({"title": "a"}) == "a" and titled({"n": 3}) == "n = 3" and titled({}) == ""


def test_wrapped_lines_are_as_wide_as_they_may_be():
    text = "one two three four five six"
    lines = style.wrap(text, 60).splitlines()
    assert " ".join(lines) == text and len(lines) > 1
    assert all(style.width(line, style.font()) <= 60 for line in lines)


def test_labels_start_no_formula_and_show_what_cannot_be_seen():
    assert style.plain("a_$b") == r"a \$b"
    assert style.visible("Ġa\tb\U0001f600", style.font(family="DejaVu Sans Mono")) == "␣a⇥b□"


def test_stage_colours_are_kept_where_a_label_only_names_a_stage():
    """No series of a figure is one stage's alone here, but one names a stage: a stage's colour would mislead."""
    shown = style.looks(["captions to captions", "captions to pictures", "captions to pictures, stage 1"])
    assert not {colour for colour, _ in shown.values()} & set(style.STAGE_COLOURS.values())
