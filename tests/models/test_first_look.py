"""A first look at a model."""

import pytest
from small_models import picture, tiny_vlm

from paperlib.models.first_look import parts, prompt_tokens, signals
from paperlib.models.vlm import load_vlm


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


def test_the_parts_are_the_model(vlm):
    rows = parts(vlm)
    assert [row["part"] for row in rows] == ["vision tower", "connector", "word embeddings", "blocks of the LLM"]
    shared = vlm.model.get_output_embeddings().weight is vlm.model.get_input_embeddings().weight
    norm = sum(p.numel() for p in vlm.model.model.language_model.norm.parameters())
    head = 0 if shared else vlm.model.get_output_embeddings().weight.numel()
    assert sum(row["parameters"] for row in rows) + norm + head == vlm.model.num_parameters()


def test_every_token_has_its_role(vlm):
    question, answer = "What is at the top left?", "dog"
    found = prompt_tokens(vlm, question, picture(0), answer)
    batch = vlm.batch([vlm.prompt(question)], [picture(0)], [answer])
    assert len(found) == batch["input_ids"].shape[1]
    ids = {role: [] for role in ("template", "image", "question", "answer")}
    for (_, role), token in zip(found, batch["input_ids"][0].tolist()):
        ids[role].append(token)
    assert set(ids["image"]) == {vlm.image_token_id} and len(ids["image"]) == len(vlm.spans(batch)[0].image)
    assert vlm.tokenizer.decode(ids["question"]) == question and vlm.tokenizer.decode(ids["answer"]) == answer
    assert vlm.image_token_id not in ids["template"]


def test_signals_have_the_size_of_what_the_llm_reads(vlm):
    rows = {row["signal"]: row for row in signals(vlm, picture(0))}
    words = vlm.model.get_input_embeddings().weight.detach()
    assert rows["word embeddings"]["shape"] == " x ".join(map(str, words.shape))
    assert rows["word embeddings"]["rms"] == pytest.approx(float(words.square().mean() ** 0.5))
    assert rows["image tokens"]["shape"].endswith(f"x {words.shape[1]}")
    assert rows["pixels"]["rms"] > 0 and len(rows) == 4


@pytest.mark.parametrize("model", ["llava-1.5-7b", "qwen2.5-vl-3b", "gemma-3-4b", "smolvlm-256m"])
def test_the_question_is_found_wherever_a_chat_format_puts_it(hub, model):
    """A line end or a word may stand between the picture and the question."""
    vlm, question = load_vlm(model, "cpu"), "What is at the top left?"
    found = prompt_tokens(vlm, question, picture(0), "dog")
    ids = {role: [token for token, other in found if other == role] for role in ("question", "answer")}
    said = {role: vlm.tokenizer.decode(vlm.tokenizer.convert_tokens_to_ids(of)) for role, of in ids.items()}
    assert said["question"].strip() == question and said["answer"].strip() == "dog"
