"""What notebook 04 says of its numbers: sentences whose words follow from intervals, true whatever a run finds."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from paperlib.geometry.alignment_measures import KEPT, MEASURES, OVERLAP, layers_apart
from paperlib.geometry.dimension import Dimension, plateau
from paperlib.geometry.dimension_tables import gaussian_like
from paperlib.geometry.entry_depth import EntryDepth
from paperlib.stats.bootstrap import Interval
from paperlib.stats.words import count, direction, listed


def scale_sentence(name: str, found: Sequence[Dimension], n: int, k: int = 16) -> str:
    """What a scale plot reads at k, the Gaussian that reads so, and the plateau."""
    value, flat = next(d.value for d in found if d.k == k), plateau(found)
    like = gaussian_like(value, n, k)
    other = "more dimensions than the calibration holds" if like is None else f"{like:.1f} dimensions"
    where = f"a plateau at {flat.value:.1f} for k = {flat.first} to {flat.last}" if flat else "no plateau"
    return f"- {name}: {value:.1f} at k = {k}, which is what a Gaussian of {other} reads; {where}."


def phase_sentence(
    name: str, before: Mapping[str, Interval], change: Mapping[str, Interval], profiles: Sequence[Sequence[float]]
) -> str:
    """Whether there was a phase to begin with, and what tuning did to it. profiles: before and tuned, by layer."""
    rises = direction(
        before["rise"], "rises above both of its ends", unclear="does not clearly rise above both its ends"
    )
    what = {
        key: f"the {name} {direction(change[key], 'grows', 'shrinks')} ({change[key]:+.2f})"
        for key, name in (("peak", "peak's dimension"), ("width", "width"))
    }
    (first, most), (first_after, most_after) = ((profile[0], max(profile)) for profile in profiles)
    return (
        f"- **{name}**: before tuning the profile {rises}. With tuning, {what['peak']} and {what['width']}. The "
        f"first dimension goes from {first:.1f} to {first_after:.1f}, the largest from {most:.1f} to {most_after:.1f}."
    )


def meeting_sentences(rows: Iterable[Mapping], null: Mapping[str, float], before: str | None = "stage 1") -> list[str]:
    """Where tuned and the model before lie apart by each measure, what the untrained model reaches, and what massive
    dimensions change.

    rows: of the table "meeting", {"measure", "stage", "depth", "value": Interval}. before: the name of the stage before
    tuning, None where there is none.
    """
    rows = [dict(row) for row in rows]
    found = []
    for name in MEASURES if before else ():
        closer, further, layers = layers_apart(rows, name, "tuned", str(before))
        found.append(f"- {name}: tuned is closer at {closer} of {count(layers, 'layer')}, further apart at {further}.")
    overlap, kept = (
        {(row["stage"], row["depth"]): row["value"] for row in rows if row["measure"] == name}
        for name in (OVERLAP, OVERLAP + KEPT)
    )
    untrained = [value for (stage, _), value in overlap.items() if stage == "untrained"]
    above = sum(value.low > null[OVERLAP] for value in untrained)
    moved = max(abs(overlap[key].value - kept[key].value) for key in overlap)
    return [
        *found,
        f"- The untrained model's overlap is {_span([value.value for value in untrained])} %; its interval lies above "
        f"the null of {null[OVERLAP]:.1f} % at {above} of {count(len(untrained), 'layer')}.",
        f"- Removing massive dimensions changes the overlap by {moved:.1f} points at most.",
    ]


def entry_sentences(
    entry: EntryDepth,
    connectors: Mapping[str, np.ndarray],
    ridge: Sequence[float],
    x: Sequence[float],
    chance: float,
    least: float,
) -> list[str]:
    """The best match of each connector, the four conditions of C1, and where later picture layers have theirs.

    connectors: by stage, the overlap (%) of the connector's output with each caption layer, read as the rule reads it.
    ridge: of the tuned model's picture layers, the depth of each one's best match. x: the relative depth of each
    caption layer; chance in percent.
    """
    found = [
        f"- Behind the {name} connector the best match is the caption layer at depth {x[int(row.argmax())]:.2f}, with "
        f"{row.max():.1f} % overlap; the first caption layer has {row[0]:.1f} %, chance is {chance:.1f} %."
        for name, row in connectors.items()
    ]
    depth = entry.depth
    side = (
        "lies at or above"
        if depth.low >= least
        else "lies below"
        if depth.high < least
        else "may lie on either side of"
    )
    advantage, surplus, relative = (
        direction(margin, "is larger than", "is smaller than", "is not clearly different from")
        for margin in (entry.advantage, entry.surplus, entry.relative)
    )
    return [
        *found,
        f"- (a) The depth {side} one quarter: {depth:.2f}.",
        f"- (b) The best match {advantage} the mean of the first sixth: {entry.advantage:+.1p} points.",
        f"- (c) This advantage {surplus} the untrained connector's: {entry.surplus:+.1p} points.",
        f"- (d) As a share of the best match it {relative} the untrained connector's: {entry.relative:+.1p} points.",
        f"- Over the tuned model's picture layers the best match lies between depths {min(ridge):.2f} and "
        f"{max(ridge):.2f}; for the last picture layer at {ridge[-1]:.2f}.",
    ]


def gain_sentences(gained: Mapping[tuple[str, str], Interval]) -> list[str]:
    """What tuned pictures gained over those before tuning, by whose doing, and whether the middle third stands out.

    gained: points by (part, third), the parts in this order: all, the connector's, the blocks'.
    """
    every, connector, blocks = dict.fromkeys(part for part, _ in gained)
    total = gained[every, "middle"]
    rest = {third: gain for (part, third), gain in gained.items() if part == every and third != "middle"}
    stands = (
        "lies clear above"
        if rest and all(total.low > gain.high for gain in rest.values())
        else "does not lie clear above"
    )
    by_connector = direction(gained[connector, "middle"], "gains", "loses", "gains nothing clear")
    by_blocks = direction(gained[blocks, "middle"], "add to that", "take from that", "change nothing clearly")
    return [
        f"- In the middle third the overlap of pictures {direction(total)} with tuning: {total:+.1f} points.",
        f"- The tuned connector before untuned blocks {by_connector} ({gained[connector, 'middle']:+.1f}); "
        f"the tuned blocks behind it {by_blocks} ({gained[blocks, 'middle']:+.1f}).",
        f"- The middle third's gain {stands} the other thirds' "
        f"({listed([f'{third} {gain:+.1f}' for third, gain in rest.items()], 'there are none')}).",
    ]


def null_sentence(overlaps: Sequence[Interval], shuffled: Sequence[float]) -> str:
    """How much overlap pairs keep that are shuffled within their type, and at how many layers pictures lie above."""
    above = sum(overlap.low > null for overlap, null in zip(overlaps, shuffled, strict=True))
    return (
        f"- Shuffled pairs keep {_span(shuffled)} %; the tuned model's interval lies above that at {above} of "
        f"{count(len(shuffled), 'layer')}."
    )


def drift_sentences(
    kept: Mapping[str, Sequence[Interval]], changes: Mapping[str, Sequence[float]], block: int
) -> list[str]:
    """What share of neighbours each modality kept by layer (%), and how much blocks changed (%), by third. block: the
    one that changed most.
    """
    thirds = [f"{np.mean(part):.1f} % in the {third} third" for third, part in changes.items() if len(part)]
    most = max(max(part) for part in changes.values() if len(part))
    return [
        *(
            f"- {name} keep {of[0]:.0f} % of their neighbours at the first layer read, and {of[-1]:.0f} % at the "
            f"last: the share {direction(_minus(of[-1], of[0]), 'is larger', 'is smaller', 'is about the same')}."
            for name, of in kept.items()
        ),
        f"- The blocks' matrices change by {listed(thirds)} on average, most in block {block} ({most:.1f} %).",
    ]


def _minus(a: Interval, b: Interval) -> Interval:
    """A minus b, with limits that hold whatever the two have in common."""
    return Interval(a.value - b.value, a.low - b.high, a.high - b.low, a.n)


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"
