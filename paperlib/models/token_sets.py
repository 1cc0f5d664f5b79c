"""Token sets: named positions in each row of a batch. States are captured and interventions act at them.

A set is a list with one 1-D LongTensor of positions for each row. The names:

- "image": the picture's tokens;
- "question": the prompt's text after the picture, without its last token;
- "answer": the prompt's last token and the tokens of an answer that follows; at these, the answer is predicted;
- "answer position": the prompt's last token, which predicts the first token of the answer;
- "text": the tokens of an answer that follows the prompt. A caption is such an answer; to stand alone, it follows an
  empty prompt.
"""

from collections.abc import Callable

import torch

from paperlib.models.processors import encode
from paperlib.models.vlm import VLM, Batch, Spans

TokenSet = list[torch.Tensor]
SETS: dict[str, Callable[[Spans], torch.Tensor]] = {
    "image": lambda spans: spans.image,
    "question": lambda spans: spans.question[:-1],
    "answer": lambda spans: torch.cat([spans.question[-1:], spans.answer]),
    "answer position": lambda spans: spans.question[-1:],
    "text": lambda spans: spans.answer,
}
MISSING = {
    "image": "give every prompt a picture",
    "question": "ask a question that is longer than one token",
    "answer": "give every row a prompt or an answer",
    "answer position": "give every row a prompt",
    "text": "give the text as answers, after an empty prompt if it should stand alone",
}
EDGES = {
    "image->question": ("question", "image"),
    "image->answer": ("answer", "image"),
    "question->answer": ("answer", "question"),
}


def tokens(vlm: VLM, batch: Batch, name: str) -> TokenSet:
    """The set of that name in a batch.

    Raises ValueError for an unknown name, a model without image tokens, and a set that is empty in some row.
    """
    if name not in SETS:
        raise ValueError(f"Unknown token set {name!r}: use one of {', '.join(SETS)}.")
    if getattr(vlm.model.config, "image_token_id", None) is None:
        raise ValueError(
            f"{type(vlm.model).__name__} has no image tokens (config.image_token_id): use an image-text model."
        )
    found = [SETS[name](spans) for spans in vlm.spans(batch)]
    for row, positions in enumerate(found):
        if not len(positions):
            raise ValueError(f"Row {row} of the batch has no {name} tokens: {MISSING[name]}.")
    return found


def edge(vlm: VLM, batch: Batch, name: str) -> tuple[TokenSet, TokenSet]:
    """Queries and keys of an attention edge. The arrow follows the information: in "image->question", questions attend.

    name: "image->question", "image->answer" or "question->answer". Raises ValueError for others, and as `tokens` does.
    """
    if name not in EDGES:
        raise ValueError(f"Unknown edge {name!r}: use one of {', '.join(EDGES)}.")
    queries, keys = EDGES[name]
    return tokens(vlm, batch, queries), tokens(vlm, batch, keys)


def spelled(vlm: VLM, prompts: list[str], parts: list[str]) -> TokenSet:
    """The tokens that spell a part of each prompt at its first occurrence; for prompts without a picture.

    Raises ValueError for a part that its prompt does not hold.
    """
    found = []
    for prompt, part in zip(prompts, parts, strict=True):
        start = prompt.find(part)
        if start < 0 or not part:
            raise ValueError(f"The prompt does not hold {part!r}: pass a part of its text.")
        offsets = encode(vlm.tokenizer, prompt, return_offsets_mapping=True)["offset_mapping"]
        inside = [i for i, (a, b) in enumerate(offsets) if a < start + len(part) and b > start]
        found.append(torch.tensor(inside))
    return found


def check_set(positions: TokenSet, what: str = "positions") -> TokenSet:
    """The set itself. Raises ValueError unless it is a list of 1-D LongTensors of distinct positions, none empty."""
    if not isinstance(positions, (list, tuple)) or not positions:
        raise ValueError(f"The {what} must be a list with a 1-D LongTensor for each row of the batch.")
    for row, p in enumerate(positions):
        if not isinstance(p, torch.Tensor) or p.ndim != 1 or p.dtype != torch.long:
            raise ValueError(f"The {what} of row {row} must be a 1-D LongTensor, such as torch.tensor([3, 4]).")
        if not len(p):
            raise ValueError(f"The {what} of row {row} are empty: give at least one position for every row.")
        if p.min() < 0 or len(p.unique()) < len(p):
            raise ValueError(f"The {what} of row {row} must be distinct and count from 0, got {p.tolist()}.")
    return list(positions)


def flat(positions: TokenSet, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column indices that pick a set's states, row after row: ``state[flat(set, device)]`` is [n in all, D]."""
    rows = torch.cat([torch.full_like(p, row) for row, p in enumerate(positions)])
    return rows.to(device), torch.cat(positions).to(device)


def check_fit(positions: TokenSet, rows: int, length: int) -> None:
    """Raises ValueError if a set was not made for a batch of so many rows and tokens."""
    longest = 1 + max(int(p.max()) for p in positions)
    if len(positions) != rows or longest > length:
        raise ValueError(
            f"The positions are for a batch of {len(positions)} rows with {longest} tokens or more, but "
            f"this one has {rows} rows of {length}: make them from the same batch."
        )
