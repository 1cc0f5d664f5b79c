"""The logit lens against the model's own logits and against the definition, one state and one word at a time."""

import numpy as np
import pytest
import torch
from small_models import one_sentence, picture, tiny_vlm, tower_vlm
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from paperlib.models.adapters import add_lora
from paperlib.probes.logit_lens import first_tokens, logit_lens, other_examples, word_ranks
from paperlib.stats.bootstrap import group_intervals

WORDS = [["dog", "pear"], ["cat", "dog"], ["tree", "cat"]]


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


def by_hand(vlm, state, word):
    """Rank and log-probability of a word's first letter at one state: the tiny tokenizer knows bytes alone."""
    hidden = state / (state.pow(2).mean() + vlm.model.config.text_config.rms_norm_eps).sqrt()
    scores = vlm.model.lm_head.weight @ (hidden * vlm.model.model.language_model.norm.weight)
    letter = vlm.tokenizer.convert_tokens_to_ids(word[0])
    return int((scores >= scores[letter]).sum()), float(torch.log_softmax(scores, 0)[letter])


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 5)])
@pytest.mark.parametrize("megabytes", [512, 0])
def test_ranks_and_logprobs_by_hand(vlm, shape, megabytes):
    """Whatever the axes between, and with one state at a time."""
    states = torch.randn(*shape, 32, generator=torch.Generator().manual_seed(1))
    ranks, logprobs = word_ranks(vlm, states.numpy(), WORDS, megabytes)
    assert ranks.shape == logprobs.shape == (*shape, 2) and len(np.unique(ranks)) > 3
    with torch.no_grad():
        for at in np.ndindex(shape):
            for k in range(2):
                rank, logprob = by_hand(vlm, states[at], WORDS[at[0]][k])
                assert ranks[at][k] == rank and logprobs[at][k] == pytest.approx(logprob, abs=1e-4)


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
def test_at_the_last_layer_the_lens_is_the_model(make):
    """States of the last block, taken by hook, give the model's own log-probabilities, also under adapters."""
    vlm = make()
    batch = vlm.batch([vlm.prompt("Hm?")] * 3, [picture(i) for i in range(3)])
    kept = []
    hook = vlm.layers[-1].register_forward_hook(lambda module, args, out: kept.append(out))
    with torch.no_grad():
        logprobs = vlm.model(**batch).logits.log_softmax(-1)
    hook.remove()
    words = ["a", "b", "z"]
    if make is tower_vlm:
        add_lora(vlm.model, 2, [1])  # untrained, so nothing changes
    _, lens = word_ranks(vlm, kept[0], [words] * 3)
    ids = [vlm.tokenizer.convert_tokens_to_ids(word) for word in words]
    np.testing.assert_allclose(lens, logprobs[..., ids], atol=1e-4)


def test_memory_for_scores_is_bounded(vlm):
    """Never more states at once than the budget allows, and every state once."""
    sizes, states = [], torch.randn(3, 5000, 32)
    hook = vlm.model.lm_head.register_forward_hook(lambda module, args, out: sizes.append(out.numel() * 4))
    word_ranks(vlm, states, WORDS, megabytes=1)
    hook.remove()
    assert max(sizes) <= 2**20 / 2 and sum(sizes) == 3 * 5000 * 4 * len(vlm.tokenizer)


def test_a_tie_counts_against_the_word(vlm):
    ranks, logprobs = word_ranks(vlm, torch.zeros(1, 32), [["dog"]])
    assert ranks.item() == len(vlm.tokenizer) and logprobs.item() == pytest.approx(-np.log(len(vlm.tokenizer)))


def test_capped_scores():
    """Gemma 2 squashes its scores: ranks stay, log-probabilities follow."""
    vlm, states = tiny_vlm(), torch.randn(3, 32)
    plain = word_ranks(vlm, states, WORDS)
    with torch.no_grad():
        scores = vlm.model.lm_head(vlm.model.model.language_model.norm(states))
    vlm.model.config.text_config.final_logit_softcapping = 0.5
    capped = word_ranks(vlm, states, WORDS)
    expected = torch.log_softmax(0.5 * torch.tanh(scores / 0.5), -1)
    ids = [[vlm.tokenizer.convert_tokens_to_ids(word[0]) for word in row] for row in WORDS]
    assert (plain[0] == capped[0]).all() and np.abs(plain[1] - capped[1]).max() > 0.05
    np.testing.assert_allclose(capped[1], expected.gather(1, torch.tensor(ids)), atol=1e-4)


def words_tokenizer(vocabulary, scheme=pre_tokenizers.ByteLevel(add_prefix_space=False), decoder=decoders.ByteLevel()):
    """A tokenizer that merges whatever gives a word of its vocabulary."""
    backend = Tokenizer(
        models.BPE(
            vocab={c: i for i, c in enumerate(vocabulary)},
            merges=[
                (left, word[len(left) :])
                for word in vocabulary
                for left in vocabulary
                if word != left and word.startswith(left) and word[len(left) :] in vocabulary
            ],
        )
    )
    backend.pre_tokenizer, backend.decoder = scheme, decoder
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def test_first_tokens_with_a_space_and_without():
    tokenizer = words_tokenizer(["d", "o", "g", "Ġ", "s", "do", "dog", "Ġdog"])
    name = lambda word: tokenizer.convert_ids_to_tokens(first_tokens(tokenizer, word))  # noqa: E731
    assert name("dog") == name(" dog ") == name("dogs") == name("dog so") == ["dog", "Ġdog"]
    assert name("so") == ["s"]  # after a space that is a token of its own


def test_first_tokens_of_a_tokenizer_that_puts_a_space_before_every_text():
    """SentencePiece as in Llama: " dog" becomes "▁", "▁dog"."""
    tokenizer = words_tokenizer(
        ["d", "o", "g", "▁", "do", "dog", "▁dog"],
        pre_tokenizers.Metaspace(prepend_scheme="always", split=False),
        decoders.Metaspace(),
    )
    assert tokenizer.convert_ids_to_tokens(first_tokens(tokenizer, "dog")) == ["▁dog"]


def test_the_likelier_of_two_tokens_counts():
    vlm = tiny_vlm()
    vlm.processor.tokenizer = words_tokenizer(["d", "o", "g", "Ġ", "do", "dog", "Ġdog"])
    states = torch.randn(40, 32)
    ranks, logprobs = word_ranks(vlm, states, [["dog"]] * 40)
    with torch.no_grad():
        expected = torch.log_softmax(vlm.model.lm_head(vlm.model.model.language_model.norm(states)), -1)[:, 5:7]
    assert 0 < (expected[:, 0] > expected[:, 1]).sum() < 40
    np.testing.assert_allclose(logprobs[:, 0], expected.amax(1), atol=1e-4)


# ---------------------------------------------------------------- by layer


def planted(vlm, words, layers=4, at=2, tokens=None):
    """Random states, but in one layer those that say the word (at one token in four, where there are tokens)."""
    rng = torch.Generator().manual_seed(0)
    states = torch.randn(len(words), layers, *([tokens] if tokens else []), 32, generator=rng)
    for i, word in enumerate(words):
        row = vlm.model.lm_head.weight[vlm.tokenizer.convert_tokens_to_ids(word[0])].detach()
        states[i, at, i % 4 if tokens else ...] = 100 * row
    return states


@pytest.mark.parametrize("tokens", [None, 4])
def test_a_planted_word_is_found_at_its_layer(vlm, tokens):
    words = ["ant", "bee", "cow", "dog"] * 6
    found = logit_lens(vlm, planted(vlm, words, tokens=tokens), words, list(range(24)))
    assert [r.layer for r in found] == [0, 1, 2, 3]
    assert found[2].rank[:3] == (1, 1, 1) and found[2].reciprocal.value == 1 and found[2].lift.low > 1
    assert found[2].control_rank.low > 3 and found[2].control_reciprocal.high < 0.5
    for r in (found[0], found[1], found[3]):
        assert r.rank.high > 10 and r.reciprocal.high < 0.5 and r.lift.low < 0 < r.lift.high
        assert r.rank.low <= r.rank.value <= r.rank.high and r.rank.n == 24


def test_layers_are_the_statistics_of_ranks(vlm):
    words, groups = ["ant", "bee", "cow", "dog"] * 6, [i // 2 for i in range(24)]
    states = planted(vlm, words)
    other = other_examples([word[0] for word in words], seed=3)
    ranks, logprobs = word_ranks(vlm, states, [(word, words[j]) for word, j in zip(words, other)])
    for i, r in enumerate(logit_lens(vlm, states, words, groups, seed=3)):
        assert r.rank.value == np.median(ranks[:, i, 0]) and r.control_rank.value == np.median(ranks[:, i, 1])
        assert r.reciprocal.value == pytest.approx((1 / ranks[:, i, 0]).mean())
        assert r.control_reciprocal.value == pytest.approx((1 / ranks[:, i, 1]).mean())
        assert r.logprob == pytest.approx(logprobs[:, i, 0].mean())
        at_home = {j: logprobs[j, i, 0] for j in range(24)}
        gain = {j: at_home[j] - logprobs[k, i, 1] for k, j in enumerate(other)}  # the same word at another's state
        expected = group_intervals([[gain[j] for j in range(24)]], groups, (-99, 99), seed=3)[0]
        assert r.lift == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("counts", [(1, 1), (3, 3), (4, 2, 2), (5, 5, 2, 1, 1), (1,) * 9])
def test_other_examples_use_each_word_as_often_as_it_occurs(counts):
    keys = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    drawn = set()
    for seed in range(20):
        other = other_examples(keys.tolist(), seed)
        assert (keys[other] != keys).all() and sorted(other) == list(range(len(keys)))
        drawn.add(tuple(other))
    assert len(drawn) > 5 or len(keys) == 2


def test_other_examples_when_one_word_fills_most():
    keys = np.array([0] * 8 + [1, 2])
    assert all((keys[other_examples(keys, seed)] != keys).all() for seed in range(20))


def test_bad_input(vlm):
    states, words, groups = torch.randn(4, 2, 32), ["ant", "bee", "cow", "dog"], list("abcd")
    broken = states.clone()
    broken[1, 1, 1] = torch.inf
    calls = [
        ("[N, ..., 32]", lambda: word_ranks(vlm, states[..., :8], [["ant"]] * 4)),
        ("[N, ..., 32]", lambda: word_ranks(vlm, states, [["ant"]] * 3)),
        ("[N, ..., 32]", lambda: word_ranks(vlm, states[:0], [])),
        ("NaN or infinite", lambda: word_ranks(vlm, broken, [["ant"]] * 4)),
        ("a list of words", lambda: word_ranks(vlm, states, words)),
        ("a list of words", lambda: word_ranks(vlm, states, [["a"], ["b"], ["c"], ["d", "e"]])),
        ("a list of words", lambda: word_ranks(vlm, states, [[]] * 4)),
        ("'  ' has no token", lambda: word_ranks(vlm, states, [["  "]] * 4)),
        ("layers, width", lambda: logit_lens(vlm, states[:, 0], words, groups)),
        ("3 words", lambda: logit_lens(vlm, states, words[:3], groups)),
        ("1 groups", lambda: logit_lens(vlm, states, words, ["a"] * 4)),
        ("two different words", lambda: logit_lens(vlm, states, ["ant"] * 4, groups)),
    ]
    for expected, call in calls:
        with pytest.raises(ValueError) as error:
            call()
        assert expected in one_sentence(error.value)
