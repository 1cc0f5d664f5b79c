"""Rows that end together, on every family: the same tokens in the same order, and all that belongs to them moved."""

import pytest
import torch
from families import FAMILIES, PAD, family
from small_models import one_sentence, picture, tiny_vlm

from paperlib.models.input_checks import VLMError
from paperlib.models.left_padding import check_ends, left_padded
from paperlib.models.token_sets import SETS, tokens


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_end_together_and_keep_what_they_hold(name):
    vlm, batch = family(name)
    moved = left_padded(batch)
    ids, mask = moved["input_ids"], moved["attention_mask"]
    assert mask[:, -1].all() and (mask[:, 1:] >= mask[:, :-1]).all() and (ids[mask == 0] == PAD).all()
    assert moved.keys() == batch.keys() and moved.answer_lengths == batch.answer_lengths
    for key in batch:
        per_token = key in {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}
        assert torch.equal(moved[key], batch[key]) == (not per_token or not batch[key].any()), key
        for i in range(3 * per_token):
            assert torch.equal(moved[key][i][mask[i] == 1], batch[key][i][batch["attention_mask"][i] == 1])
    for kind in SETS:  # the sets hold the same words
        for i, (here, there) in enumerate(zip(tokens(vlm, moved, kind), tokens(vlm, batch, kind))):
            assert ids[i, here].tolist() == batch["input_ids"][i, there].tolist()
            assert torch.equal(here - there, torch.full_like(there, int((mask[i] == 0).sum())))


def test_a_batch_that_ends_together_stays_as_it_is():
    vlm = tiny_vlm()
    batch = vlm.batch([vlm.prompt("Hm?"), vlm.prompt("What is it?")], [picture(0), picture(1)])
    moved = left_padded(batch)
    again = left_padded(moved)
    assert all(torch.equal(again[key], moved[key]) for key in moved)
    assert check_ends(moved) is moved
    with pytest.raises(VLMError, match=r"left_padded\(batch\)") as error:
        check_ends(batch)
    one_sentence(error.value)


def test_sizes_of_pictures_are_not_taken_for_tokens():
    """Two pictures' sizes have the shape of the mask of two rows of two tokens."""
    _, batch = family("llava-next")
    short = type(batch)({key: batch[key][:2, :2] for key in ("input_ids", "attention_mask")})
    short["attention_mask"] = torch.tensor([[1, 1], [1, 0]])
    short["image_sizes"] = torch.tensor([[12, 24], [24, 12]])
    short.answer_lengths = [0, 0]
    assert torch.equal(left_padded(short)["image_sizes"], short["image_sizes"])
    assert left_padded(short)["attention_mask"].tolist() == [[1, 1], [0, 1]]


def test_only_batches_are_taken():
    for bad in ({}, {"input_ids": torch.zeros(1, 1), "attention_mask": torch.ones(1, 1)}, None):
        for function in (left_padded, check_ends):
            with pytest.raises(VLMError, match="made by VLM.batch"):
                function(bad)
