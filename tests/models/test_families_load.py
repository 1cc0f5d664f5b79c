"""Every family through `VLM`: its decoder blocks, its image tokens, its spans; and that the batches are sound."""

import pytest
import torch
from families import ANSWERS, CLOSE, FAMILIES, IMAGE, LAYERS, QUESTIONS, WIDTH, family, other_picture, row
from small_models import changed, logits, weights

SPLIT = {"llava-next", "llava-onevision"}  # a learnt `image_newline` stands among a picture's tokens


@pytest.fixture(params=FAMILIES)
def name(request):
    return request.param


def trace(vlm, batch):
    """(block, what enters it, what leaves it) for each of vlm.layers as the model calls them, and the logits."""
    calls = []

    def record(block, args, kwargs, output):
        calls.append((block, args[0] if args else kwargs["hidden_states"], output))

    hooks = [block.register_forward_hook(record, with_kwargs=True) for block in vlm.layers]
    try:
        return calls, logits(vlm.model, batch)
    finally:
        for hook in hooks:
            hook.remove()


def entering(vlm, batch):
    """States at the input of block 0, (3, tokens, width)."""
    return trace(vlm, batch)[0][0][1]


def positions(mask):
    """Where each row of a mask is true, as lists."""
    return [line.nonzero().flatten().tolist() for line in mask]


def real(batch):
    return batch["attention_mask"].bool()


# ---------------------------------------------------------------- decoder blocks


def test_layers_are_the_decoders_blocks(name):
    """All of them, in order, from the embeddings to the final norm."""
    vlm, batch = family(name)
    calls, out = trace(vlm, batch)
    assert len(vlm.layers) == LAYERS == vlm.model.config.get_text_config().num_hidden_layers
    assert [block for block, _, _ in calls] == list(vlm.layers)
    assert all(x.shape == y.shape == (*batch["input_ids"].shape, WIDTH) for _, x, y in calls)
    with torch.no_grad():
        again = vlm.model.lm_head(vlm.model.get_decoder().norm(calls[-1][2]))
    torch.testing.assert_close(again, out, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_edited_blocks_change_the_output(name, layer):
    vlm, batch = family(name)
    hook = vlm.layers[layer].register_forward_hook(lambda block, args, output: output.flip(-1))
    try:
        edited = logits(vlm.model, batch)
    finally:
        hook.remove()
    assert (edited - logits(vlm.model, batch))[real(batch)].abs().amax(-1).min() > 0.1  # at every position


def test_states_between_blocks(name):
    """What leaves a block enters the next, but for what Qwen3-VL adds at image tokens after blocks 0 and 1."""
    vlm, batch = family(name)
    calls, _ = trace(vlm, batch)
    nowhere, image = [[]] * 3, [span.image.tolist() for span in vlm.spans(batch)]
    for i, ((_, _, left), (_, entered, _)) in enumerate(zip(calls, calls[1:])):
        differ = (left != entered).any(-1) & real(batch)
        assert positions(differ) == (image if name == "qwen3-vl" and i < 2 else nowhere)


# ---------------------------------------------------------------- spans


def test_image_spans_are_what_the_model_fills(name):
    """Positions that don't hold their token's embedding."""
    vlm, batch = family(name)
    with torch.no_grad():
        text = vlm.model.get_input_embeddings()(batch["input_ids"])
    filled = (entering(vlm, batch) != text).any(-1)
    assert positions(filled) == [span.image.tolist() for span in vlm.spans(batch)]
    assert all(len(line) >= 4 for line in positions(filled))


def test_each_picture_reaches_its_rows_image_tokens(name):
    """Another picture in one row changes all image tokens of that row, but learnt ends of lines, and nothing else."""
    vlm, batch = family(name)
    before = entering(vlm, batch)
    for i, span in enumerate(vlm.spans(batch)):
        differ = positions((entering(vlm, other_picture(batch, i)) - before).abs().amax(-1) > 1e-3)
        still = sorted(set(span.image.tolist()) - set(differ[i]))
        assert [line for j, line in enumerate(differ) if j != i] == [[], []]
        assert sorted(differ[i] + still) == span.image.tolist() and bool(still) == (name in SPLIT)
        assert all(torch.equal(before[i, k], vlm.model.model.image_newline) for k in still)


def test_question_and_answer_follow_the_image(name):
    vlm, batch = family(name)
    for i, (span, ids) in enumerate(zip(vlm.spans(batch), batch["input_ids"])):
        tail = range(span.image[-1] + 1, batch["attention_mask"][i].sum())
        assert span.question.tolist() + span.answer.tolist() == list(tail)
        assert ids[span.answer].tolist() == ANSWERS[i]
        assert ids[span.question].tolist()[-len(QUESTIONS[i]) :] == QUESTIONS[i]
        assert set(ids[span.image].tolist()) == {IMAGE} == {vlm.image_token_id}


def test_image_tokens_are_in_one_piece_but_in_idefics3(name):
    vlm, batch = family(name)
    pieces = [int((span.image.diff() > 1).sum()) + 1 for span in vlm.spans(batch)]
    assert pieces == ([2, 1, 2] if name == "idefics3" else [1, 1, 1])


# ---------------------------------------------------------------- sound batches


def test_padding_does_not_matter(name):
    vlm, batch = family(name)
    together, lengths = logits(vlm.model, batch), batch["attention_mask"].sum(1).tolist()
    assert len(set(lengths)) > 1  # so that there is padding
    for i, length in enumerate(lengths):
        alone = row(batch, i)
        assert alone["attention_mask"].all() and alone["input_ids"].shape == (1, length)
        torch.testing.assert_close(logits(vlm.model, alone)[0], together[i, :length], rtol=0, atol=1e-5)


def test_eager_is_sdpa(name):
    (vlm, batch), (eager, same) = family(name), family(name, "eager")
    assert not changed(weights(vlm.model), weights(eager.model))
    assert batch.keys() == same.keys() and all(torch.equal(batch[key], same[key]) for key in batch)
    for one, attention in ((vlm, "sdpa"), (eager, "eager")):
        assert one.model.get_decoder().config._attn_implementation == attention
    difference = logits(vlm.model, batch) - logits(eager.model, batch)
    assert difference[real(batch)].abs().max() < 1e-5


def test_pictures_move_the_answer_of_their_row_alone(name):
    vlm, batch = family(name)
    before = logits(vlm.model, batch)
    for i, span in enumerate(vlm.spans(batch)):
        moved = (logits(vlm.model, other_picture(batch, i)) - before).abs().amax(-1)
        assert moved[i, span.question[-1]] > 0.1
        assert moved[real(batch) & (torch.arange(3) != i)[:, None]].max() < 1e-5


def test_attention_is_causal_or_differs_by_name(name):
    """The edges that carry any weight. PaliGemma: all before the answer sees each other in both directions. Gemma 3:
    image tokens do; and in sliding blocks nothing sees further back than the last six tokens, itself included."""
    vlm, batch = family(name, "eager")
    with torch.no_grad():
        attentions = vlm.model(**batch, output_attentions=True).attentions
    size = batch["input_ids"].shape[1]
    query, key = torch.arange(size)[:, None], torch.arange(size)[None]
    assert len(attentions) == LAYERS
    for i, span in enumerate(vlm.spans(batch)):
        image = torch.isin(torch.arange(size), span.image)
        for layer, attention in enumerate(attentions):
            edges = key <= query
            if name == "paligemma":
                edges = edges | (key < span.answer[0]) & (query < span.answer[0])
            if name == "gemma-3":
                edges = edges | image[:, None] & image[None]
                if layer % 2 == 0:
                    edges = edges & (query - key < 6)
            end = span.answer[-1] + 1
            assert torch.equal((attention[i].amax(0) > 0)[:end, :end], edges[:end, :end])


def test_gemma_3_slides_past_the_picture():
    """So that the window matters: where the answer starts, the picture's first tokens are out of sight."""
    vlm, batch = family("gemma-3")
    window = vlm.model.config.get_text_config().sliding_window
    assert all(span.question[-1] - span.image[0] >= window < len(span.image) for span in vlm.spans(batch))
    assert all(batch["input_ids"][i, span.question[0]] == CLOSE for i, span in enumerate(vlm.spans(batch)))
