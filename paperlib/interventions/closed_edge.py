"""One question with one attention edge closed, for a reader to try."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from paperlib.figures.publish import DRAW
from paperlib.interventions.edits import knockout
from paperlib.interventions.sweep_scores import caption
from paperlib.interventions.sweeps import Sweep
from paperlib.models.token_sets import edge
from paperlib.models.vlm import VLM
from paperlib.scoring.records import Record, answer_probability
from paperlib.tasks.benchmarks import Example


def choice_probabilities(example: Example, record: Record) -> list[float]:
    """The probability of each choice among the choices, in their order."""
    return [answer_probability(replace(example, answer=choice), record) for choice in example.choices]


def closed_edge(vlm: VLM, example: Example, name: str, first: int, last: int) -> dict:
    """Probabilities of a question's choices, clean and with an edge closed in blocks ``first`` to ``last`` inclusive.

    -> data of the figure `choice_probabilities`. name: as `token_sets.edge` takes it. Raises ValueError for blocks that
    do not exist or are out of order.
    """
    if not 0 <= first <= last < len(vlm.layers):
        raise ValueError(
            f"Blocks go from 0 to {len(vlm.layers) - 1}, the first before the last: got {first} to {last}."
        )
    sweep = Sweep(vlm, [example], at=[0])
    closed = sweep.under(0, lambda c: knockout(vlm, range(first, last + 1), *edge(vlm, c.inputs, name)))
    stages = {"clean": sweep.clean()[0], f"closed in blocks {first} to {last}": closed[0]}
    question = f"{caption(example)} {example.question} ({name.replace('->', ' to ')})"
    return {
        "questions": [
            {
                "question": question,
                "answer": example.answer,
                "choices": list(example.choices),
                "stages": {stage: choice_probabilities(example, record) for stage, record in stages.items()},
            }
        ]
    }


def edge_closer(vlm: VLM, examples: Sequence[Example]) -> Callable[[int, str, int, int], Figure]:
    """A function for `figures.menus`: draws `closed_edge` of the example of that number."""

    def close_edge(number: int, name: str, first: int, last: int) -> Figure:
        return DRAW["choice_probabilities"](closed_edge(vlm, examples[number], name, first, last))

    return close_edge
