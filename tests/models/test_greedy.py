"""Greedy decoding in batches, on every family, against a loop without cache, padding or batch, interventions in force.

The loop runs the whole sequence again for each token, one row at a time, and makes its token sets and interventions
anew each time, with the tokens so far as the answer. So what an edge to "answer" closes is said there by the token sets
alone.
"""

import contextlib
import copy
from functools import lru_cache

import pytest
import torch
from families import BEFORE, EOS, FAMILIES, LAYERS, PAD, QUESTIONS, other_picture, row
from families import family as shared_family

from paperlib.interventions.edits import bypass, knockout, patch, transplant
from paperlib.models.capture import token_states
from paperlib.models.greedy import greedy
from paperlib.models.left_padding import left_padded
from paperlib.models.token_sets import EDGES, edge, tokens
from paperlib.models.vlm import Batch

NEW = 7  # with Gemma 3's window of 6, the prompt leaves it
# A random model would end at once, or write a place of a picture.
SILENT = [PAD, 1, EOS, *range(60, 64)]
PER_TOKEN = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}


@lru_cache
def family(name, attention="sdpa"):
    """(model, prompts with pictures padded on the right) of a family; the answers are cut off."""
    vlm, batch = shared_family(name, attention)
    vlm = copy.copy(vlm)
    vlm.model = copy.deepcopy(vlm.model)
    vlm.model.generation_config.suppress_tokens = SILENT
    prompts = Batch(batch)
    ends = batch["attention_mask"].sum(1) - torch.tensor(batch.answer_lengths)
    asked = torch.arange(batch["input_ids"].shape[1]) < ends[:, None]
    prompts["input_ids"], prompts["attention_mask"] = batch["input_ids"].where(asked, PAD), asked.long()
    if "token_type_ids" in batch:
        prompts["token_type_ids"] = batch["token_type_ids"] * asked
    length = int(ends.max())
    for key in PER_TOKEN & prompts.keys():
        prompts[key] = prompts[key][:, :length]
    prompts.answer_lengths = [0] * len(ends)
    return vlm, prompts


def without_pictures(batch):
    """The same questions alone."""
    rows = [torch.tensor(before + question) for before, question in zip(BEFORE, QUESTIONS)]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    alone = Batch(input_ids=ids, attention_mask=(ids != PAD).long())
    for key in {"token_type_ids", "mm_token_type_ids"} & batch.keys():
        alone[key] = torch.zeros_like(ids)
    alone.answer_lengths = [0] * len(ids)
    return alone


@lru_cache
def donor(name):
    vlm = copy.copy(family(name)[0])
    vlm.model = copy.deepcopy(vlm.model)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in vlm.layers.parameters():
            weight.copy_(weight * (1 + torch.randn(weight.shape, generator=generator) / 2))
    return vlm


def patched(vlm, batch):
    """Image tokens at layer 2 get the states that they have when the pictures are turned to their negatives."""
    there = token_states(vlm, other_picture(batch), [2])
    return patch(vlm, 2, tokens(vlm, batch, "image"), [states[0] for states in there])


INTERVENTIONS = {
    "none": lambda vlm, batch: contextlib.nullcontext(),
    **{name: lambda vlm, b, name=name: knockout(vlm, range(LAYERS), *edge(vlm, b, name)) for name in EDGES},
    "enter": lambda vlm, b: bypass(vlm, tokens(vlm, b, "image"), enter=2),
    "enter unseen": lambda vlm, b: bypass(vlm, tokens(vlm, b, "image"), enter=2, visible=False),
    "leave": lambda vlm, b: bypass(vlm, tokens(vlm, b, "image"), leave=1),
    "patch": patched,
    "transplant": lambda vlm, b: transplant(vlm, donor(vlm.name), [1, 2]),
}
OF_THE_PICTURE = {"image->question", "image->answer", "enter", "enter unseen", "leave", "patch"}


def grown(vlm, alone, new):
    """A row with tokens after its prompt, as a batch with an answer would hold them."""
    longer, of_answers = Batch(alone), int(vlm.name == "paligemma")  # whose prefix has the type 0
    fill = {"input_ids": new, "attention_mask": [1] * len(new), "token_type_ids": [of_answers] * len(new)}
    for key in PER_TOKEN & alone.keys():
        more = torch.tensor([fill.get(key, [0] * len(new))], dtype=alone[key].dtype)
        longer[key] = torch.cat([alone[key], more], dim=1)
    longer.answer_lengths = [len(new)]
    return longer


@torch.no_grad()
def by_hand(vlm, batch, i, make, n=NEW):
    """The tokens that a row's prompt gets, one at a time, from passes over everything so far."""
    alone, new = row(batch, i) if "pixel_values" in batch else single(batch, i), []
    for _ in range(n):
        longer = grown(vlm, alone, new)
        with make(vlm, longer):
            scores = vlm.model(**longer, use_cache=False).logits[0, -1]
        scores[SILENT] = -torch.inf
        new.append(int(scores.argmax()))
    return new


def single(batch, i):
    length = int(batch["attention_mask"][i].sum())
    alone = Batch({key: value[i : i + 1, :length] for key, value in batch.items()})
    alone.answer_lengths = [0]
    return alone


def written(vlm, batch, make, n=NEW):
    batch = left_padded(batch)
    with make(vlm, batch):
        return [w.tokens for w in greedy(vlm.model, batch, n)]


@lru_cache
def known(name, kind):
    """What `written` gives for a family's prompts with pictures."""
    return written(*family(name), INTERVENTIONS[kind])


# ---------------------------------------------------------------- every family


@pytest.mark.parametrize("kind", INTERVENTIONS)
@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_with_a_cache_writes_what_each_row_alone_does_without(name, kind):
    vlm, batch = family(name)
    make = INTERVENTIONS[kind]
    assert known(name, kind) == [by_hand(vlm, batch, i, make) for i in range(3)]
    if kind not in OF_THE_PICTURE:
        alone = without_pictures(batch)
        found = written(vlm, alone, make)
        assert found == [by_hand(vlm, alone, i, make) for i in range(3)]


@pytest.mark.parametrize("kind", [kind for kind in INTERVENTIONS if kind != "none"])
def test_every_intervention_is_seen_in_what_is_written(kind):
    differ = [name for name in FAMILIES if known(name, kind) != known(name, "none")]
    assert len(differ) >= len(FAMILIES) / 2, differ


@pytest.mark.parametrize("kind", ["image->answer", "question->answer", "enter unseen"])
def test_an_edge_that_is_closed_in_the_prefill_alone_is_another_intervention(kind):
    """A mask that forgets new tokens would not pass the test above: what it writes differs from the loop by hand."""
    differ = []
    for name in FAMILIES:
        vlm, batch = family(name)
        batch, decoder = left_padded(batch), vlm.model.get_decoder()
        with contextlib.ExitStack() as until_first_pass:
            until_first_pass.enter_context(INTERVENTIONS[kind](vlm, batch))
            handle = decoder.register_forward_hook(lambda *_: until_first_pass.close())
            found = [w.tokens for w in greedy(vlm.model, batch, NEW)]
            handle.remove()
        assert [row[0] for row in found] == [row[0] for row in known(name, kind)]  # the prefill says the first token
        differ += [name] if found != known(name, kind) else []
    assert len(differ) >= 3, differ


@pytest.mark.parametrize("name", FAMILIES)
def test_no_token_is_computed_twice(name):
    """The prompt in one pass, then one token in each."""
    vlm, batch = family(name)
    batch, lengths = left_padded(batch), []
    handle = vlm.layers[1].register_forward_pre_hook(lambda block, args: lengths.append(args[0].shape[1]))
    greedy(vlm.model, batch, 4)
    handle.remove()
    assert lengths == [batch["input_ids"].shape[1], 1, 1, 1]
