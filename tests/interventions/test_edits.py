"""Interventions on a circuit whose place is known, their nesting, weights, and bad input. Exactness on every family is
in test_families.py."""

import copy

import pytest
import torch
from planted import DEPTH, planted, said, two_pictures
from small_models import logits, one_sentence, picture, tiny_vlm, weights
from torch import nn

from paperlib.interventions.edits import bypass, knockout, patch, random_change, transplant
from paperlib.models.adapters import add_lora
from paperlib.models.capture import token_states
from paperlib.models.left_padding import left_padded
from paperlib.models.token_sets import edge, tokens
from paperlib.models.vlm import VLM

BLOCKS = range(DEPTH)
READ = pytest.mark.parametrize("read", [0, 2, DEPTH - 1])
WAYS = [(3, 1), (DEPTH - 1, 0), (4, 3)]  # blocks (read, write)


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


@pytest.fixture(scope="module")
def batch(vlm):
    return vlm.batch([vlm.prompt("Hm?"), vlm.prompt("What is it?")], [picture(0), picture(1)], ["a dog", "x"])


def cut(vlm, batch, intervention) -> bool:
    """Whether an intervention silences the planted circuit (True) or leaves what it says as it was (False)."""
    clean = said(vlm, batch)
    assert (clean[0] - clean[1]).abs().max() > 0.1  # it tells the two pictures apart
    with intervention:
        found = said(vlm, batch)
    if (found == 0).all():
        return True
    torch.testing.assert_close(found, clean)
    return False


# ---------------------------------------------------------------- the planted circuit


@READ
def test_knockout_finds_the_reading_block(read):
    vlm = planted(read)
    batch = two_pictures(vlm)
    silenced = {
        way: [i for i in BLOCKS if cut(vlm, batch, knockout(vlm, [i], *edge(vlm, batch, way)))]
        for way in ("image->answer", "image->question")
    }
    assert silenced == {"image->answer": [read], "image->question": []}
    windows = [
        i
        for i in BLOCKS
        if cut(vlm, batch, knockout(vlm, range(i, min(i + 2, DEPTH)), *edge(vlm, batch, "image->answer")))
    ]
    assert windows == [i for i in (read - 1, read) if i >= 0]


@READ
def test_what_is_written_is_silenced_where_the_answer_position_is(read):
    """New tokens look at the picture in the same block, and see no more of it than the prompt's last token does."""
    vlm = planted(read)
    batch = left_padded(vlm.batch([vlm.prompt("Hm?"), vlm.prompt("What is it?")], [picture(0), picture(1)]))
    options = dict(max_new_tokens=3, do_sample=False, suppress_tokens=[1], output_logits=True)

    def heard(*blocks, way="image->answer"):
        with knockout(vlm, blocks, *edge(vlm, batch, way)):
            return torch.stack(vlm.model.generate(**batch, **options, return_dict_in_generate=True).logits)

    clean = heard()
    assert clean.abs().amax((1, 2)).min() > 0.1
    for block in BLOCKS:
        found = heard(block)
        assert (found == 0).all() if block == read else torch.allclose(found, clean, atol=1e-5)
        assert torch.allclose(heard(block, way="image->question"), clean, atol=1e-5)


@READ
def test_transplant_finds_the_reading_block(read):
    circuit, silent = planted(read), planted(None)
    batch = two_pictures(circuit)
    necessary = [i for i in BLOCKS if cut(circuit, batch, transplant(circuit, silent, [i]))]
    sufficient = []
    for i in BLOCKS:
        with transplant(silent, circuit, [i]):
            found = said(silent, batch)
        if not (found == 0).all():
            torch.testing.assert_close(found, said(circuit, batch))
            sufficient.append(i)
    assert necessary == sufficient == [read]
    assert [cut(circuit, batch, transplant(circuit, silent, range(n))) for n in range(DEPTH + 1)] == [
        n > read for n in range(DEPTH + 1)
    ]


@pytest.mark.parametrize("read, write", WAYS)
def test_transplant_finds_both_blocks_of_a_longer_way(read, write):
    circuit, silent = planted(read, write), planted(None, None)
    batch = two_pictures(circuit)
    assert [i for i in BLOCKS if cut(circuit, batch, transplant(circuit, silent, [i]))] == [write, read]


@READ
def test_entering_unseen_finds_the_reading_block(read):
    vlm = planted(read)
    batch = two_pictures(vlm)
    image = tokens(vlm, batch, "image")
    for enter in range(DEPTH + 1):
        assert cut(vlm, batch, bypass(vlm, image, enter, visible=False)) == (enter > read)
        assert not cut(vlm, batch, bypass(vlm, image, enter))  # what is read is there from the start
        assert not cut(vlm, batch, bypass(vlm, image, leave=enter))


@pytest.mark.parametrize("read, write", WAYS)
def test_bypass_finds_the_block_that_works_on_the_picture(read, write):
    vlm = planted(read, write)
    batch = two_pictures(vlm)
    image = tokens(vlm, batch, "image")
    for layer in range(DEPTH + 1):
        assert cut(vlm, batch, bypass(vlm, image, enter=layer)) == (layer > write)
        assert cut(vlm, batch, bypass(vlm, image, leave=layer)) == (layer <= write)
    assert not cut(vlm, batch, bypass(vlm, image, write, write + 1))
    assert cut(vlm, batch, bypass(vlm, image, write + 1, read)) and cut(vlm, batch, bypass(vlm, image, 0, write))


@READ
def test_patching_finds_the_reading_block(read):
    """The other picture is in image tokens up to the layer that the block reads, and at the answer's start after it."""
    vlm = planted(read)
    batch, other = two_pictures(vlm), two_pictures(vlm, 2, 3)
    mine, theirs = said(vlm, batch), said(vlm, other)
    assert (mine - theirs).abs().amin(0).max() > 0.1
    for name in ("image", "question", "answer position"):
        carried = token_states(vlm, other, range(DEPTH + 1), name)
        for layer in range(DEPTH + 1):
            with patch(vlm, layer, tokens(vlm, batch, name), [row[layer] for row in carried]):
                found = said(vlm, batch)
            moves = {"image": layer <= read, "question": False, "answer position": layer > read}[name]
            torch.testing.assert_close(found, theirs if moves else mine)


# ---------------------------------------------------------------- nesting


def test_knockouts_add_up(vlm, batch):
    """Two, one inside the other, are one with both edges; a batch without padding has no mask to begin with."""
    for inputs in (batch, vlm.batch([vlm.prompt("Hm?")] * 2, [picture(0), picture(1)])):
        image, question = tokens(vlm, inputs, "image"), tokens(vlm, inputs, "question")
        start = tokens(vlm, inputs, "answer position")
        with knockout(vlm, [1, 2], start, [torch.cat(pair) for pair in zip(image, question)]):
            expected = logits(vlm.model, inputs)
        with knockout(vlm, [2, 1], start, image), knockout(vlm, range(1, 3), start, question):
            torch.testing.assert_close(logits(vlm.model, inputs), expected)
        with knockout(vlm, [1, 2], start, image):
            assert not torch.allclose(logits(vlm.model, inputs), expected, atol=1e-3)


def test_the_outer_of_two_acts_first(vlm, batch):
    """A patch outside a bypass is in the state that the bypass keeps; inside it, the patch has the last word."""
    image = tokens(vlm, batch, "image")
    new = [torch.ones(len(p), 32) for p in image]
    with patch(vlm, 2, image, new), bypass(vlm, image, leave=2):
        assert all((row[0] == 1).all() for row in token_states(vlm, batch, [4]))
    with bypass(vlm, image, leave=2), patch(vlm, 2, image, new):
        assert not any((row[0] == 1).all() for row in token_states(vlm, batch, [4]))


# ---------------------------------------------------------------- weights


def test_random_changes_have_the_norm_and_spectrum_of_the_difference():
    vlm, donor = tiny_vlm(0), tiny_vlm(1)
    with torch.no_grad():  # one matrix that the donor shares, and one vector that it doesn't
        donor.layers[2].mlp.up_proj.weight.copy_(vlm.layers[2].mlp.up_proj.weight)
        donor.layers[2].input_layernorm.weight += 0.5
    before = weights(vlm.model)
    with random_change(vlm, donor, [1, 2], seed=0):
        first = weights(vlm.model)
    with random_change(vlm, donor, [2], seed=0):
        second = weights(vlm.model)
    with random_change(vlm, donor, [2], seed=1):
        third = weights(vlm.model)
    queries = [f"model.language_model.layers.{i}.self_attn.q_proj.weight" for i in (1, 2)]
    noise = [(first[name] - before[name]).flatten() for name in queries]
    assert torch.cosine_similarity(*noise, dim=0).abs() < 0.2  # each block has its own
    differ = 0
    for name, other in weights(donor.model).items():
        block = next((i for i in (1, 2) if f"language_model.layers.{i}." in name), None)
        change = first[name] - before[name]
        torch.testing.assert_close(change.norm(), (other - before[name]).norm() if block else torch.tensor(0.0))
        assert torch.equal(second[name], first[name] if block == 2 else before[name])
        if block == 2 and change.any():  # a shift by one number everywhere, too, shall change direction
            assert not torch.allclose(change, other - before[name], rtol=1e-3, atol=1e-4)
        if block == 2 and change.any() and change.numel() > 500:
            differ += 1
            along = [
                torch.cosine_similarity(change.flatten(), c.flatten(), dim=0).abs()
                for c in (other - before[name], third[name] - before[name])
            ]
            assert max(along) < 0.2 and abs(change.mean()) < 0.2 * change.std()
            mine, theirs = (torch.linalg.svdvals(c) for c in (change, other - before[name]))
            torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)
            assert not torch.allclose(change.abs(), (other - before[name]).abs(), rtol=1e-3, atol=1e-4)  # all moved
    assert differ == 6  # all matrices but the one that is shared
    assert all(torch.equal(value, before[name]) for name, value in weights(vlm.model).items())


def test_transplants_copy_nothing_and_nest(batch):
    vlm, first, second = (tiny_vlm(seed) for seed in range(3))
    own = [id(p) for p in vlm.layers.parameters()]
    with transplant(vlm, first, [0, 1]):
        assert [id(p) for p in vlm.layers[1].parameters()] == [id(p) for p in first.layers[1].parameters()]
        outer = logits(vlm.model, batch)
        with transplant(vlm, second, [1, 2]):
            built = copy.deepcopy(tiny_vlm(0).model)
            for i, donor in ((0, first), (1, second), (2, second)):
                built.get_decoder().layers[i].load_state_dict(donor.layers[i].state_dict())
            assert torch.equal(logits(vlm.model, batch), logits(built, batch))
        assert torch.equal(logits(vlm.model, batch), outer)
    assert [id(p) for p in vlm.layers.parameters()] == own
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in vlm.layers.parameters())


# ---------------------------------------------------------------- bad input


def refused(intervention) -> str:
    """The one sentence with which an intervention refuses to begin."""
    with pytest.raises(ValueError) as error, intervention:
        pass
    return one_sentence(error.value)


def test_blocks_and_layers_out_of_range(vlm, batch):
    image = tokens(vlm, batch, "image")
    states = [torch.zeros(len(p), 32) for p in image]
    for bad in (4, -1, 1.0, "1", True):
        assert "blocks 0 to 3" in refused(knockout(vlm, [0, bad], *edge(vlm, batch, "image->answer")))
        assert "blocks 0 to 3" in refused(transplant(vlm, vlm, [bad]))
        assert "blocks 0 to 3" in refused(random_change(vlm, vlm, [bad]))
    for bad in (5, -1, 1.0, "1", True):
        assert "layers 0 to 4" in refused(patch(vlm, bad, image, states))
        assert "layers 0 to 4" in refused(bypass(vlm, image, enter=bad))
        assert "layers 0 to 4" in refused(bypass(vlm, image, leave=bad))
    assert "at most leave" in refused(bypass(vlm, image, enter=3, leave=2))


def test_unusable_token_sets(vlm, batch):
    image, start = tokens(vlm, batch, "image"), tokens(vlm, batch, "answer position")
    empty, one = torch.tensor([], dtype=torch.long), [torch.tensor([1])] * 2
    bad_sets = {
        "row 1 are empty": [image[0], empty],
        "LongTensor, such as": [image[0], image[1].float()],
        "must be a list": image[0],
        "must be distinct": [image[0], torch.tensor([2, 2])],
        "count from 0": [image[0], torch.tensor([-1])],
        "each row of the batch": [],
        "1-D LongTensor": [image[0], image[1][None]],
        "row 0 must be": [[3], [4]],
    }
    for reason, bad in bad_sets.items():
        for intervention in (
            knockout(vlm, [1], bad, start),
            knockout(vlm, [1], start, bad),
            bypass(vlm, bad, 1),
            patch(vlm, 1, bad, [torch.zeros(1, 32)] * 2),
        ):
            assert reason in refused(intervention)
    assert "overlap" in refused(knockout(vlm, [1], image, image))
    both = torch.cat([start[1], image[1][-1:]])
    assert "overlap" in refused(knockout(vlm, [1], [start[0], both], image))
    assert "every row" in refused(knockout(vlm, [1], image, start[:1]))
    for states in ([torch.zeros(1, 31)] * 2, [torch.zeros(2, 32)] * 2, [torch.zeros(32)] * 2):
        assert "Row 0 needs states of shape (1, 32)" in refused(patch(vlm, 1, one, states))
    assert "every row" in refused(patch(vlm, 1, one, [torch.zeros(1, 32)]))


def test_token_sets_of_another_batch(vlm, batch):
    """Only the pass itself can tell; it stops before the first block that would be changed."""
    for positions in ([torch.tensor([3])] * 3, [torch.tensor([3]), torch.tensor([999])]):
        start = [torch.zeros_like(p) for p in positions]
        for intervention in (
            knockout(vlm, [1], positions, start),
            knockout(vlm, [1], start, positions),
            bypass(vlm, positions, 1),
            bypass(vlm, positions, leave=1),
            patch(vlm, 1, positions, [torch.zeros(1, 32)] * len(positions)),
            bypass(vlm, positions, 1, visible=False),
        ):
            with pytest.raises(ValueError, match="the same batch") as error, intervention:
                logits(vlm.model, batch)
            one_sentence(error.value)


def test_unusable_donors(vlm):
    def other(**changes) -> VLM:
        config = copy.deepcopy(vlm.model.config)
        for name, value in changes.items():
            setattr(config.text_config, name, value)
        return VLM("other", type(vlm.model)(config), None)

    half = tiny_vlm()
    half.model.half()
    for donor in (other(num_hidden_layers=3), other(intermediate_size=32), other(attention_bias=True), half):
        for method in (transplant, random_change):
            assert "donor needs as many blocks" in refused(method(vlm, donor, [0]))
            assert "donor needs as many blocks" in refused(method(donor, vlm, [0]))
    tuned = tiny_vlm()
    tuned.model = add_lora(tuned.model, 2, [1])
    for pair in ((vlm, tuned), (tuned, vlm), (tuned, tuned)):
        assert "merge_and_unload" in refused(transplant(*pair, [0]))


def test_attention_without_a_mask_of_edges(batch):
    vlm = tiny_vlm()
    vlm.model.get_decoder().config._attn_implementation = "flash_attention_2"
    image = tokens(vlm, batch, "image")
    for intervention in (knockout(vlm, [1], *edge(vlm, batch, "image->answer")), bypass(vlm, image, 1, visible=False)):
        assert "'flash_attention_2'" in refused(intervention)
    with bypass(vlm, image, 1):  # touches no mask
        pass
