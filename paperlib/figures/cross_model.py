"""The curves of notebooks 02 to 06 over relative depth, one line a model: from tables of many runs to panels.

Several seeds of one model make one line: their mean, shaded from the lowest end of their intervals to the highest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paperlib.figures.rows import lines_of, select, split
from paperlib.stats.interval import Interval

STYLES = 7  # looks before they repeat; further models get other dashes


@dataclass(frozen=True)
class Curve:
    """A curve that runs are compared by: a column of a table over depth, with a panel for each value of ``panels``."""

    name: str
    title: str
    table: str
    column: str
    panels: str
    wanted: Mapping[str, str] = field(default_factory=dict)
    ylabel: str = ""
    scale: float = 1.0
    keep: tuple[str, ...] = ()  # of the values of ``panels``; all if empty
    units: Mapping[str, str] = field(default_factory=dict)  # behind a panel's name, where that is the label of y


CURVES = (
    Curve("probes_at_image_tokens", "tuned, image tokens", "02_profiles", "accuracy", "probe",
          {"stage": "tuned", "where": "image tokens"}, "probe accuracy (%)", 100),
    Curve("probes_at_answer_position", "tuned, answer position", "02_profiles", "accuracy", "probe",
          {"stage": "tuned", "where": "answer position"}, "probe accuracy (%)", 100),
    Curve("transfer", "captions to pictures, tuned", "02_transfer", "accuracy", "probe",
          {"stage": "tuned", "route": "captions to pictures"}, "transfer accuracy (%)", 100),
    Curve("entry", "captions to image tokens, tuned", "02_entry", "accuracy", "probe", {"stage": "tuned"},
          "transfer accuracy (%)", 100),
    Curve("transplant", "with a picture", "03_transplant", "share", "series", {"questions": "with a picture"},
          "share of the gap (%)", 100, ("sufficiency", "necessity", "random-change control")),
    Curve("bypass", "bypass", "03_bypass", "share", "bypass", {"series": "image tokens"}, "what remains (%)", 100),
    Curve("knockout", "edge closed", "03_knockout", "loss", "series", {}, "loss of score (points)"),
    Curve("patching", "patched", "03_patching", "share", "series", {}, "answer moved (%)", 100),
    Curve("dimension", "tuned", "04_dimension", "dimension", "series", {"stage": "tuned"}, "intrinsic dimension",
          1, ("captions", "pictures (mean)")),
    Curve("alignment", "tuned", "04_meeting", "value", "measure", {"stage": "tuned"}, "",
          1, ("neighbourhood overlap", "mutual kNN", "CKA"), {"neighbourhood overlap": " (%)", "mutual kNN": " (%)"}),
    Curve("towards_text", "with captions before tuning", "04_to_text", "overlap", "pictures", {}, "overlap (%)",
          1, ("tuned",)),
    Curve("gain_of_alignment", "gained by tuning", "04_gain", "gain", "pictures", {}, "gain (points)"),
    Curve("prediction", "before any block is tuned", "05_prediction", "value", "profile", {}, "rescaled to [0, 1]"),
    Curve("benchmarks_necessity", "necessity", "06_profiles", "effect", "benchmark", {"method": "necessity"},
          "loss of score (points)"),
    Curve("benchmarks_knockout", "picture hidden", "06_profiles", "effect", "benchmark", {"method": "knockout"},
          "loss of score (points)"),
)  # fmt: skip


def panels_of(curve: Curve, tables: Mapping[str, Sequence[tuple[str, list[dict]]]]) -> list[dict]:
    """Panels for `figures.curves.layer_curves`. tables: by model, (run, rows) of each of its runs.

    A panel has the lines of those models whose table holds it. Raises KeyError if a table lacks a column.
    """
    parts: dict[str, list[dict]] = {}
    for model, runs in tables.items():
        found: dict[str, dict[float, list]] = {}
        for _, rows in runs:
            for panel, of in split(select(rows, **curve.wanted), curve.panels).items():
                for row in of:
                    if row[curve.column] is not None:
                        found.setdefault(panel, {}).setdefault(row["depth"], []).append(row[curve.column])
        for panel, by_depth in found.items():
            parts.setdefault(panel, []).extend(
                {"model": model, "depth": depth, "value": over_seeds(values)}
                for depth, values in sorted(by_depth.items())
            )
    shown = {panel: rows for panel, rows in parts.items() if not curve.keep or panel in curve.keep}
    looks = {model: {"colour": i % STYLES, "dash": i // STYLES} for i, model in enumerate(tables)}
    return [
        {"title": f"{panel}: {curve.title}", "share": False,
         "ylabel": curve.ylabel or panel + curve.units.get(panel, ""),
         "lines": lines_of(rows, "model", scale=curve.scale, looks=looks)}
        for panel, rows in shown.items()
    ]  # fmt: skip


def over_seeds(values: Sequence[Interval | float]) -> Interval:
    """The mean of values and, as limits, the lowest and the highest end of their intervals."""
    ends = [value if isinstance(value, Interval) else Interval(value, value, value, 1) for value in values]
    mean = sum(value.value for value in ends) / len(ends)
    return Interval(mean, min(v.low for v in ends), max(v.high for v in ends), sum(v.n for v in ends))
