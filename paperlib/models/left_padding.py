"""Batches whose rows end together, which is what generation needs: each new token follows the last one of its row."""

import torch

from paperlib.models.input_checks import Batch, VLMError, check_made


def left_padded(batch: Batch) -> Batch:
    """The same rows with their padding on the left; pictures stay as they are. `VLM.batch` pads on the right.

    Every entry of [B, T] is moved with its tokens: ids, mask, and types of tokens where a family has them. Position ids
    are no part of a batch: a family counts them from the mask (M-RoPE: from the grids of the pictures as well), so that
    padding takes up none. Token sets and interventions belong to the batch that they were made from: make them from
    this one. Raises VLMError for anything that `VLM.batch` did not make.
    """
    mask = check_made(batch)["attention_mask"]
    order = mask.bool().byte().argsort(dim=1, stable=True)  # padding, then tokens, each in their order
    moved = Batch(
        {key: value.take_along_dim(order, 1) if _per_token(key, value, mask) else value for key, value in batch.items()}
    )
    moved.answer_lengths = batch.answer_lengths
    return moved


def check_ends(batch: Batch) -> Batch:
    """The batch itself. Raises VLMError unless all its rows end at the last column."""
    if not check_made(batch)["attention_mask"][:, -1].all():
        raise VLMError(
            "The rows of this batch end apart, so new tokens would follow padding: pass left_padded(batch), and make "
            "token sets from that."
        )
    return batch


def _per_token(key: str, value: object, mask: torch.Tensor) -> bool:
    """Whether an entry holds a value for each token. Sizes of pictures could have the shape of a short text's mask."""
    return isinstance(value, torch.Tensor) and value.shape == mask.shape and not key.startswith(("image_", "pixel_"))
