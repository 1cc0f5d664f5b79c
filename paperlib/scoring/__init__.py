"""How answers are scored. Open `records.py` first.

`choices.py` reads log-probabilities of choices, `records.py` makes records of them, `metrics.py` holds the benchmarks'
own metrics, and `evaluation.py` runs a suite and keeps its records. `generation.py` asks for replies and keeps them as
they come (`kept_replies.py`), and `both_ways.py` sets both ways of scoring side by side.
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "both_ways": ["agreement", "named_choice"],
        "evaluation": ["describe", "evaluate"],
        "generation": ["Reply", "generate"],
        "metrics": ["yes_no_report"],
        "records": ["answer_probability", "choice_logprobs"],
    },
)
