"""Batches of instructions: what is a label, what is dropped and refused, and what a model makes of them."""

import pytest
import torch
from instruction_rows import FIXTURES, MIX, coloured, instruction
from small_models import one_sentence, tiny_vlm
from torch.nn import functional as F

from paperlib.models.input_checks import VLMError
from paperlib.tasks.benchmarks.example import StoredPicture
from paperlib.tasks.instructions import RowPicture, open_instructions
from paperlib.tuning.collation import IGNORED, collate

RED, BLUE = coloured("red"), coloured("blue")
PICTURED = instruction("pictured", ("Who is it?", "a dog"), ("And now?", "a cat"), pictures=[RED])
TEXT = instruction("text", ("Why?", "so"))
LATER = instruction("later", ("No picture?", "none"), ("And now?", "blue"), pictures=[BLUE], places=[(1, 8)])


def learnt(vlm, made, row=0):
    """The words that the loss is on."""
    return vlm.tokenizer.decode(made.labels[row][made.labels[row] != IGNORED])


def sizes(made):
    return made.inputs["attention_mask"].sum(1).tolist()


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


def test_labels_are_the_answers_and_what_ends_them(vlm):
    made = collate(vlm, [PICTURED, TEXT, LATER], 400)
    ids, mask = made.inputs["input_ids"], made.inputs["attention_mask"]
    said = ["a dog<|im_end|>a cat<|im_end|>", "so<|im_end|>", "none<|im_end|>blue<|im_end|>"]
    assert [learnt(vlm, made, row) for row in range(3)] == said
    on = made.labels != IGNORED
    assert torch.equal(made.labels[on], ids[on]) and not (on & (mask == 0)).any()
    assert (made.ids, made.turns, made.refused) == (("pictured", "text", "later"), (2, 1, 2), ())
    assert made.inputs["pixel_values"].shape[0] == 2
    for row, size in enumerate(sizes(made)):  # padding is on the right
        assert mask[row, :size].all() and not mask[row, size:].any()


def test_one_turn_is_what_the_model_is_later_asked(vlm):
    made = collate(vlm, [PICTURED.first(1), TEXT], 400)
    for row, (one, pictures) in enumerate([(PICTURED, [RED.open()]), (TEXT, None)]):
        question, answer = one.turns[0]
        asked = vlm.batch([vlm.prompt(question, pictures is not None)], pictures, [answer])
        size = asked["input_ids"].shape[1]
        assert torch.equal(made.inputs["input_ids"][row, :size], asked["input_ids"][0])
        assert made.labels[row].ne(IGNORED).nonzero()[0] == vlm.spans(asked)[0].answer[0]
    assert torch.equal(made.inputs["pixel_values"], vlm.batch([vlm.prompt("?")], [RED.open()])["pixel_values"])


def test_turns_are_dropped_from_the_end_while_they_do_not_fit(vlm):
    rows = [PICTURED, TEXT, LATER]
    whole = sizes(collate(vlm, rows, 400))
    short = sizes(collate(vlm, [row.first(1) for row in rows], 400))
    for length in range(max(short), max(whole) + 1):
        made = collate(vlm, rows, length)
        assert made.turns == tuple(2 if size <= length and i != 1 else 1 for i, size in enumerate(whole))
        again = collate(vlm, [row.first(n) for row, n in zip(rows, made.turns)], 400)
        assert made.labels.shape[1] <= length and torch.equal(made.labels, again.labels)
        assert all(torch.equal(made.inputs[key], again.inputs[key]) for key in again.inputs)
    assert "pixel_values" not in collate(vlm, [LATER], whole[2] - 1).inputs  # its picture went with its turn


def test_what_does_not_fit_or_is_broken_is_refused_and_the_rest_stays(vlm):
    torn = instruction("torn", ("Who?", "a"), pictures=[RowPicture(StoredPicture(b"", "The picture of row 1"))])
    mark = instruction("mark", ("<image> Who?", "a"))
    long = instruction("long", ("Who? " * 40, "a"), ("?", "b"))
    made = collate(vlm, [long, torn, TEXT, mark], 100)
    assert made.ids == ("text",) and learnt(vlm, made) == "so<|im_end|>"
    assert sorted(made.refused) == [
        ("long", "first turn too long"), ("mark", "special token in its words"), ("torn", "broken picture")
    ]  # fmt: skip
    none = collate(vlm, [long, torn], 100)
    assert none.inputs == {} and none.labels.shape == (0, 0) and none.ids == () and len(none.refused) == 2


def test_a_broken_picture_is_told_to_its_source(vlm):
    data = open_instructions(MIX)
    rows = [one for one, _ in zip(data.examples(), range(data.size))]
    made = collate(vlm, rows, 1000)
    assert made.refused == (("2", "broken picture"),) and len(made.ids) == 5
    assert data.report()["refused"]["broken picture"] == {"rows": 1, "first": ["2"]}


def test_what_fails_for_another_reason_than_a_picture_is_not_hidden(vlm, monkeypatch):
    def fails(*arguments, **options):
        raise ValueError("no words")

    monkeypatch.setattr("paperlib.tuning.collation.processed", fails)
    with pytest.raises(ValueError, match="no words"):
        collate(vlm, [TEXT], 400)


def test_a_length_beyond_the_context_is_refused(vlm):
    with pytest.raises(VLMError, match="context is") as error:
        collate(vlm, [TEXT], 10**6)
    one_sentence(error.value)


def loss(vlm, made):
    """Sum over the answers' tokens, by hand."""
    logits = vlm.model(**made.inputs).logits[:, :-1]
    return F.cross_entropy(logits.flatten(0, 1), made.labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")


@torch.no_grad()
def test_the_loss_of_a_batch_is_that_of_its_rows(vlm):
    rows = [PICTURED, TEXT, LATER]
    together = collate(vlm, rows, 400)
    apart = [loss(vlm, collate(vlm, [row], 400)) for row in rows]
    assert loss(vlm, together) == pytest.approx(float(sum(apart)), rel=1e-5)
    mean = loss(vlm, together) / (together.labels != IGNORED).sum()
    assert vlm.model(**together.inputs, labels=together.labels).loss == pytest.approx(float(mean), rel=1e-5)
    other = collate(vlm, [instruction("pictured", *PICTURED.turns, pictures=[BLUE])], 400)
    assert abs(loss(vlm, other) - apart[0]) > 1e-3


def test_a_model_learns_the_captions_of_the_fixtures():
    """From the file to the weights: the loss on answers falls."""
    vlm = tiny_vlm()
    data = open_instructions(FIXTURES / "pretrain")
    made = collate(vlm, [one for one, _ in zip(data.examples(), range(3))], 400)
    optimizer, losses = torch.optim.AdamW(vlm.model.parameters(), 3e-3), []
    for _ in range(12):
        losses.append(vlm.model(**made.inputs, labels=made.labels).loss)
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.7 * losses[0]
