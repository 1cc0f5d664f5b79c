"""How answers are scored. Open `records.py` first.

`choices.py` reads log-probabilities of choices, `records.py` makes records of them, `metrics.py` holds the benchmarks'
own metrics, and `evaluation.py` runs a suite and keeps its records.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "evaluation": ["describe", "evaluate"],
        "metrics": ["yes_no_report"],
        "records": ["answer_probability", "choice_logprobs"],
    },
)
