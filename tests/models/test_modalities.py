"""Pictures and captions are read where they should be, behind the same start of a user's turn."""

import torch
from small_models import picture, tiny_vlm

from paperlib.models.capture import states
from paperlib.models.modalities import caption_states, picture_states

CAPTIONS = ["A dog.", "A small red circle at the top left and a cat.", "Two cats."]


@torch.no_grad()
def test_a_picture_is_read_before_any_question():
    vlm, pictures = tiny_vlm(), [picture(i) for i in range(3)]
    found = picture_states(vlm, pictures)
    assert set(found) == {"image mean", "image last"} and found["image mean"].shape[:2] == (3, len(vlm.layers) + 1)
    whole = states(vlm, vlm.batch([vlm.prompt("What is this?")] * 3, pictures), ["image mean", "image last"])
    for name, value in found.items():
        apart = (value[0] - value[1]).norm() / value[0].norm()
        assert (value - whole[name]).norm() / value.norm() < min(0.02, apart / 5), "but for the precision of products"


def test_captions_are_read_at_their_own_tokens(tmp_path):
    vlm = tiny_vlm()
    found = caption_states(vlm, CAPTIONS, tmp_path)
    last, mean = found["text last"], found["text mean"]
    embedded = vlm.model.get_input_embeddings()
    for i, caption in enumerate(CAPTIONS):
        ids = torch.tensor(vlm.tokenizer(caption, add_special_tokens=False).input_ids)
        torch.testing.assert_close(last[i, 0], embedded(ids[-1]).detach().float())
        torch.testing.assert_close(mean[i, 0], embedded(ids).detach().float().mean(0))
    assert len(list(tmp_path.iterdir())) == 1
    again = caption_states(vlm, CAPTIONS, tmp_path)
    assert all(torch.equal(again[name], found[name]) for name in found)


def test_the_layers_above_know_what_came_before():
    """The last token is a full stop in all three, and only the blocks can tell which caption it ends."""
    last = caption_states(tiny_vlm(), CAPTIONS)["text last"]
    assert torch.equal(last[0, 0], last[1, 0]) and not torch.allclose(last[0, -1], last[1, -1], rtol=1e-2)
