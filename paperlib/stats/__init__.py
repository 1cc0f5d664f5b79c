"""What the numbers allow one to say. Open `bootstrap.py` first, then `conditions.py` and `verdicts.py`.

Every interval of the study comes from the one bootstrap in `bootstrap.py` (estimates from neighbours excepted, see
`paperlib.geometry.subsampling`), and every rule of a verdict stands in `verdicts.py`.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "accuracy": ["accuracy_difference", "chance", "intervals_apart", "summarize"],
        "bootstrap": ["Interval", "group_intervals", "statistic_interval"],
        "conditions": ["CONTRADICTORY", "INCONCLUSIVE", "NOT_SUPPORTED", "SUPPORTED", "UNMET", "Condition", "Verdict"],
        "effects": ["gap_share", "paired_difference", "rank_agreement"],
        "tables": ["read_table", "write_table"],
        "verdicts": [
            "band_verdict",
            "beats_every_rival",
            "by_bypass",
            "by_entry_depth",
            "by_gain",
            "by_groups",
            "by_growth",
            "by_margin",
            "by_onsets",
            "by_place",
            "by_votes",
        ],
        "votes": ["BORDERS", "Vote", "regions", "votes_together"],
    },
)
