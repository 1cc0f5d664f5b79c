"""One pass below a late entry, on blocks that only note what they are given. Whole models are in test_late_entry.py."""

from types import SimpleNamespace

import pytest
import torch
from small_models import one_sentence
from torch import nn

from paperlib.models.split_pass import Around, Split, hide

WHERE = torch.tensor([[False, True, True, False, False], [True, True, False, False, False]])  # two image tokens a row
TEXT = [[0, 3, 4], [2, 3, 4]]


class Notes(nn.Module):
    """Doubles the state and keeps its arguments."""

    def forward(self, state, **kwargs):
        self.state, self.kwargs = state, kwargs
        return 2 * state


def entry(block=2, learn=False):
    words = nn.Embedding(3, 4).requires_grad_(learn)
    return SimpleNamespace(block=block, scale=1.5, decoder=SimpleNamespace(get_input_embeddings=lambda: words))


def test_text_runs_alone_and_image_tokens_join_at_the_entry():
    state = torch.arange(40.0).view(2, 5, 4)
    positions = torch.arange(5).expand(2, 5)
    mask = torch.rand(2, 1, 5, 5)
    turned = torch.rand(2, 5, 6), torch.rand(2, 5, 6)
    given = {"attention_mask": mask, "position_ids": positions, "position_embeddings": turned, "use_cache": False}
    around, blocks = Split(entry(), WHERE), [Notes(), Notes()]
    between = Around(around, 0, blocks[0])(state, **given)
    after = Around(around, 1, blocks[1])(between, **given)
    for row, text in enumerate(TEXT):
        assert torch.equal(blocks[0].state[row], state[row, text])
        assert torch.equal(after[row, text], 4 * state[row, text])
        assert torch.equal(after[row, WHERE[row]], 1.5 * state[row, WHERE[row]])
        for block in blocks:
            assert torch.equal(block.kwargs["attention_mask"][row, 0], mask[row, 0][text][:, text])
            assert block.kwargs["position_ids"][row].tolist() == text
            assert all(
                torch.equal(cut[row], whole[row, text])
                for cut, whole in zip(block.kwargs["position_embeddings"], turned)
            )
            assert block.kwargs["use_cache"] is False
    assert blocks[0].kwargs["attention_mask"] is blocks[1].kwargs["attention_mask"], "cut once for all blocks"


@pytest.mark.parametrize("learn", [False, True])
def test_text_carries_gradients_only_where_words_learn(learn):
    state = torch.zeros(2, 5, 4, requires_grad=True)
    Split(entry(1, learn), WHERE)(0, Notes(), state, {}).sum().backward()
    for row, text in enumerate(TEXT):
        assert bool(state.grad[row, text].any()) is learn and (state.grad[row, WHERE[row]] == 1.5).all()


def test_later_passes_do_not_see_the_picture():
    cache, state = SimpleNamespace(get_seq_length=lambda number: 5), torch.zeros(2, 1, 4)
    opened = torch.ones(2, 1, 1, 6, dtype=torch.bool)
    added = torch.zeros(2, 1, 1, 6)
    for mask in (None, opened, added):
        block = Notes()
        hide(WHERE, 0, block, state, {"past_key_values": cache, "attention_mask": mask})
        found = block.kwargs["attention_mask"]
        seen = found if found.dtype == torch.bool else found == 0
        assert seen[:, 0, 0].tolist() == [[*(~row).tolist(), True] for row in WHERE]


def test_passes_that_cannot_be_are_refused():
    ragged, hooked, state = WHERE.clone(), Notes(), torch.zeros(2, 5, 4)
    ragged[0, 1] = False
    hooked.register_forward_pre_hook(lambda *_: None)
    for said, call in {
        "same number of image tokens": lambda: Split(entry(), ragged),
        "from layer 2 on": lambda: Split(entry(), WHERE)(0, hooked, state, {}),
        "those of the same batch": lambda: Split(entry(), WHERE)(0, Notes(), state[:, :4], {}),
        "queries by keys": lambda: Split(entry(), WHERE)(0, Notes(), state, {"attention_mask": torch.ones(2, 5)}),
    }.items():
        with pytest.raises(ValueError, match=said) as error:
            call()
        one_sentence(error.value)
