"""Cards: what they must say, and prompts by variant."""

import pytest
from small_models import one_sentence

from paperlib.tasks.benchmarks import PUBLIC, Card

CARD = Card(
    name="Toy",
    hub="owner/toy",
    split="test",
    columns=("question",),
    licence="MIT",
    citation="nobody",
    metric="accuracy",
    prompts={"long": "{question} Answer in a word.", "short": "{question}", "shots": "{shots}{question}"},
)


def test_the_first_variant_is_the_default_and_braces_in_a_question_stay():
    parts = {"question": "What is {x}?"}
    assert CARD.prompt(parts) == CARD.prompt(parts, "long") == "What is {x}? Answer in a word."
    assert CARD.prompt(parts, "short") == "What is {x}?"


@pytest.mark.parametrize("variant, says", [("plain", "use one of long, short, shots"), ("shots", "needs shots")])
def test_prompts_that_cannot_be_made(variant, says):
    with pytest.raises(ValueError, match=says) as error:
        CARD.prompt({"question": "Q?"}, variant)
    one_sentence(error.value)


@pytest.mark.parametrize("card", [module.CARD for module in PUBLIC.values()], ids=lambda card: card.name)
def test_every_card_says_what_a_reader_asks(card):
    assert all(
        (card.name, card.hub.count("/") == 1, card.split, card.columns, card.licence, card.metric, card.revision)
    )
    assert "20" in card.citation and len(card.prompts) >= 2
