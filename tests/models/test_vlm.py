"""The VLM interface: loading by name, saving, token spans, batches, answers; mostly on tiny random models."""

import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from small_models import (
    changed,
    logits,
    louder,
    mini_base,
    one_sentence,
    picture,
    tiny_vlm,
    tower_vlm,
    use_parts,
    weights,
)
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from paperlib.models.adapters import AdapterError, add_lora, save_adapter
from paperlib.models.input_checks import VLMError
from paperlib.models.names import NAMES
from paperlib.models.residual import run, watching
from paperlib.models.vision_tower import EfficientNetLiteModel
from paperlib.models.vlm import load_vlm

QUESTIONS = ["What is this?", "How many things are there?", "Hm?"]
ANSWERS = ["a dog", "four", "A small red circle at the top left."]


@pytest.fixture(scope="module")
def vlm():
    return tiny_vlm()


@pytest.fixture(params=["tiny", "tower", pytest.param("mini-base", marks=pytest.mark.assets)])
def any_vlm(request):
    return {"tiny": tiny_vlm, "tower": tower_vlm, "mini-base": mini_base}[request.param]()


@pytest.fixture
def small_mini(monkeypatch, tmp_path):
    """All names of the mini model work on small random parts, and no adapters are there yet."""
    use_parts(monkeypatch, tmp_path)
    return tmp_path / "root" / "data" / "adapters"


def both(vlm, questions=QUESTIONS, answers=None, images=True):
    """A batch of the questions with one picture each or with none."""
    prompts = [vlm.prompt(q, images) for q in questions]
    return vlm.batch(prompts, [picture(i) for i in range(len(prompts))] if images else None, answers)


# ---------------------------------------------------------------- saving and loading


@pytest.mark.parametrize("make", [tiny_vlm, tower_vlm])
def test_save_load_generate_round_trip(make, tmp_path):
    vlm = make(seed=3)
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    again = load_vlm(str(tmp_path), device="cpu")
    assert again.name == str(tmp_path)
    assert again.model.state_dict().keys() == vlm.model.state_dict().keys()
    assert not changed(weights(vlm.model), weights(again.model))
    for images in (True, False):
        batch, batch_again = both(vlm, images=images), both(again, images=images)
        assert batch.keys() == batch_again.keys()
        assert all(torch.equal(batch[key], batch_again[key]) for key in batch)
        assert torch.equal(logits(vlm.model, batch), logits(again.model, batch_again))
        replies = [
            m.generate(**both(v, ["Hm?"], images=images), max_new_tokens=12, do_sample=False)
            for v, m in ((vlm, vlm.model), (again, again.model))
        ]
        assert torch.equal(*replies)
    assert again.answer(picture(0), "What?") == vlm.answer(picture(0), "What?")


def test_auto_classes_find_the_registered_tower(tmp_path):
    vlm = tower_vlm()
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert type(model) is LlavaForConditionalGeneration and type(processor) is LlavaProcessor
    assert type(model.model.vision_tower) is EfficientNetLiteModel
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert processor.chat_template == vlm.processor.chat_template
    batch = processor(text=["<image>Hm?"], images=[picture(0)], return_tensors="pt")
    assert torch.equal(logits(model.eval(), batch), logits(vlm.model, batch))


def test_loaded_for_evaluation_in_float32(tmp_path):
    vlm = tower_vlm()
    vlm.model.train().half().save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    for loaded in (load_vlm(tmp_path, device="cpu"), load_vlm("tiny", device="cpu")):
        assert not any(module.training for module in loaded.model.modules())
        assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
        assert loaded.device == torch.device("cpu")


def test_decoder_blocks_are_the_language_models():
    tiny, tower = load_vlm("tiny"), tower_vlm()
    assert tiny.layers is tiny.model.model.language_model.layers and len(tiny.layers) == 4
    assert len(tower.layers) == 3
    assert tiny.image_token_id == tiny.tokenizer.convert_tokens_to_ids("<image>")


@torch.no_grad()
def test_the_unembedding_of_the_last_layer_is_the_models_own_logits():
    """With LoRA around it or not, and with a cap on scores as Gemma 2 has it."""
    vlm = tiny_vlm()
    batch, states = vlm.batch([vlm.prompt("Hm?")], [picture(0)]), []
    assert vlm.base is vlm.model
    plain = vlm.model(**batch).logits
    with watching(vlm, [(4, states.append)]):
        torch.testing.assert_close(vlm.head(run(vlm, batch)), plain)
    torch.testing.assert_close(vlm.unembed(states[0]), plain)
    vlm.base.config.text_config.final_logit_softcapping = 0.5
    torch.testing.assert_close(vlm.unembed(states[0][0, -1]), 0.5 * torch.tanh(plain[0, -1] / 0.5))
    base = vlm.model
    vlm.model = add_lora(vlm.model, 2, [1])
    assert vlm.base is base and vlm.unembed(states[0]).shape == plain.shape


def test_tiny_depends_on_the_seed():
    assert not changed(weights(load_vlm("tiny", seed=1).model), weights(load_vlm("tiny", seed=1).model))
    assert changed(weights(load_vlm("tiny", seed=1).model), weights(load_vlm("tiny", seed=2).model))


@pytest.mark.parametrize("name", ["minni", "", "nobody/no-such-model", "a/b/c", "no such model"])
def test_unknown_names(name, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(VLMError) as error:
        load_vlm(name)
    assert repr(name) in one_sentence(error.value) and all(known in str(error.value) for known in NAMES)


def test_a_slip_asks_no_hub(monkeypatch):
    """Without a network each question to the hub is repeated for most of a minute."""
    monkeypatch.setattr("paperlib.models.fetching.AutoModelForImageTextToText", None)
    with pytest.raises(VLMError, match="minni"):
        load_vlm("minni")


@pytest.mark.parametrize("damage", ["no config", "half a config", "no weights", "half the weights", "no tokenizer"])
def test_damaged_folders(damage, tmp_path):
    vlm = load_vlm("tiny")
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    files = {"config": "config.json", "weights": "model.safetensors", "tokenizer": "tokenizer.json"}
    file = files[damage.split()[-1]]
    if damage.startswith("half"):
        content = (tmp_path / file).read_bytes()
        (tmp_path / file).write_bytes(content[: len(content) // 2])
    else:
        (tmp_path / file).unlink()
    with pytest.raises(VLMError) as error:
        load_vlm(str(tmp_path))
    assert "whole folder" in one_sentence(error.value)


def test_a_text_model_is_refused(tmp_path):
    config = LlamaConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        vocab_size=10,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(VLMError, match="image-text model"):
        load_vlm(tmp_path)


def test_names_of_the_mini_model(small_mini):
    """base, stage 1, tuned and untrained differ in what they should, whatever the parts."""
    base = load_vlm("mini-base")
    before = weights(base.model)
    bridge = {name for name in before if "multi_modal_projector" in name}
    for name in ("mini", "mini-stage1"):
        with pytest.raises(AdapterError) as error:
            load_vlm(name)
        assert "retrain" in one_sentence(error.value)
    with torch.no_grad():
        for p in base.model.model.multi_modal_projector.parameters():
            p.copy_((p + 0.1).half())
    save_adapter(small_mini / "mini-stage1", base.model, {})
    tuned = add_lora(base.model, 2, [1])
    with torch.no_grad():
        for name, p in tuned.named_parameters():
            if "lora_" in name:
                p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(0)).half() / 8)
    save_adapter(small_mini / "mini-tuned", tuned, {})
    stage1, mini = load_vlm("mini-stage1"), load_vlm("mini")
    assert (stage1.name, mini.name) == ("mini-stage1", "mini")
    assert changed(before, weights(stage1.model)) == bridge
    projections = {name for name in before if "language_model.layers.1." in name and "proj" in name}
    assert len(projections) == 7 and changed(before, weights(mini.model)) == bridge | projections
    batch = both(mini)
    torch.testing.assert_close(logits(mini.model, batch), logits(tuned, batch), rtol=1e-4, atol=1e-5)
    same = load_vlm(str(small_mini / "mini-tuned"))  # a folder of adapters is a name, too
    assert not changed(weights(same.model), weights(mini.model))
    fresh = weights(load_vlm("mini-untrained", seed=4).model)
    assert not {name for name in changed(before, fresh) if "vision_tower" in name}
    assert changed(before, fresh) >= {name for name in before if "proj.weight" in name and "language" in name}
    assert changed(fresh, weights(load_vlm("mini-untrained").model))


# ---------------------------------------------------------------- prompts, batches, spans


def test_prompt(vlm):
    assert vlm.prompt("Why?") == "<|im_start|>user\n<image>Why?<|im_end|>\n<|im_start|>assistant\n"
    assert vlm.prompt("Why?", False) == "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("answers", [None, ANSWERS])
def test_spans_against_the_processors_output(any_vlm, images, answers):
    """Each sequence of a padded batch against the same text alone, and against what its parts decode to."""
    vlm = any_vlm
    decode = lambda ids: vlm.tokenizer.decode(ids, clean_up_tokenization_spaces=False)  # noqa: E731
    batch = both(vlm, answers=answers, images=images)
    spans = vlm.spans(batch)
    lengths = batch["attention_mask"].sum(1)
    assert len(spans) == len(QUESTIONS) and len(set(lengths.tolist())) == 3  # so there is padding
    for i, (span, ids) in enumerate(zip(spans, batch["input_ids"])):
        prompt, answer = vlm.prompt(QUESTIONS[i], images), answers[i] if answers else ""
        kwargs = {"images": [picture(i)]} if images else {}
        alone = vlm.processor(text=[prompt + answer], return_tensors="pt", **kwargs)["input_ids"][0]
        n = len(alone)
        assert torch.equal(ids[:n], alone) and n == lengths[i]  # padding is on the right
        assert span.image.tolist() == [k for k in range(n) if ids[k] == vlm.image_token_id]
        assert len(span.image) == (vlm.model.config.image_seq_length if images else 0)
        front = "<|im_start|>user\n"
        if images:
            assert decode(ids[: span.image[0]]) == front
            assert span.image.tolist() == list(range(span.image[0], span.image[-1] + 1))
            assert span.question[0] == span.image[-1] + 1
        else:
            assert span.question[0] == 0
        tail = f"{QUESTIONS[i]}<|im_end|>\n<|im_start|>assistant\n"
        assert decode(ids[span.question]) == ("" if images else front) + tail
        assert span.question.tolist() == list(range(span.question[0], span.question[-1] + 1))
        assert span.answer.tolist() == list(range(span.question[-1] + 1, n))
        assert decode(ids[span.answer]) == answer
        assert all(part.dtype == torch.long and part.ndim == 1 for part in vars(span).values())


def test_the_answer_starts_at_the_last_question_position(vlm):
    """What the model says there is the first token that it generates."""
    batch = both(vlm, ["What is this?", "What is that?"])
    new = vlm.model.generate(**batch, max_new_tokens=1, do_sample=False)[:, -1]
    for i, span in enumerate(vlm.spans(batch)):
        assert logits(vlm.model, batch)[i, span.question[-1]].argmax() == new[i]


@pytest.mark.parametrize("images", [True, False])
def test_padding_changes_no_logits(any_vlm, images):
    batch = both(any_vlm, answers=ANSWERS, images=images)
    together = logits(any_vlm.model, batch)
    for i in range(3):
        prompt = any_vlm.prompt(QUESTIONS[i], images)
        single = any_vlm.batch([prompt], [picture(i)] if images else None, [ANSWERS[i]])
        alone = logits(any_vlm.model, single)[0]
        torch.testing.assert_close(together[i, : len(alone)], alone, rtol=1e-3, atol=1e-3)


def test_pictures_stay_with_their_questions(vlm):
    """The second of two sequences depends on the second picture and not on the first."""
    prompts = [vlm.prompt(q) for q in QUESTIONS[:2]]
    ends = [span.question[-1] for span in vlm.spans(vlm.batch(prompts, [picture(0), picture(1)]))]
    a, b, c = (logits(vlm.model, vlm.batch(prompts, [picture(i), picture(j)])) for i, j in ((0, 1), (0, 2), (2, 1)))
    torch.testing.assert_close(a[0, ends[0]], b[0, ends[0]], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(a[1, ends[1]], c[1, ends[1]], rtol=1e-4, atol=1e-4)
    assert (a[1, ends[1]] - b[1, ends[1]]).abs().max() > 0.05 < (a[0, ends[0]] - c[0, ends[0]]).abs().max()


def test_padding_is_on_the_right_whatever_the_tokenizer_says():
    vlm = tiny_vlm()
    vlm.tokenizer.padding_side = "left"
    mask = both(vlm)["attention_mask"]
    assert (mask[:, 0] == 1).all() and (mask[:, 1:] <= mask[:, :-1]).all()


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1", "CMYK"])
def test_pictures_of_any_mode(vlm, mode):
    image = picture(5).convert(mode)
    shown = vlm.batch([vlm.prompt("Hm?")] * 2, [image, image.convert("RGB")])["pixel_values"]
    assert torch.equal(shown[0], shown[1])


def test_unusable_pictures_and_counts(vlm, tmp_path):
    prompt, image = vlm.prompt("Hm?"), picture(0)
    (tmp_path / "x.png").write_text("no picture")
    for bad in ("x.png", tmp_path / "x.png", b"bytes", torch.zeros(3, 8, 8), None, 5):
        with pytest.raises(VLMError) as error:
            vlm.batch([prompt], [bad])
        assert type(bad).__name__ in one_sentence(error.value) and "PIL.Image.open" in str(error.value)
    with pytest.raises(VLMError, match="PIL image"):
        vlm.answer("x.png", "Hm?")
    calls = [
        lambda: vlm.batch([], None),
        lambda: vlm.batch([], []),
        lambda: vlm.batch([prompt], []),
        lambda: vlm.batch([prompt], [image, image]),
        lambda: vlm.batch([prompt] * 2, [image]),
        lambda: vlm.batch([prompt], [image], []),
        lambda: vlm.batch([prompt], [image], ["a", "b"]),
        lambda: vlm.batch([prompt], None, ["a", "b"]),
        lambda: vlm.answers([], []),
        lambda: vlm.answers(None, []),
        lambda: vlm.answers([image], ["a", "b"]),
        lambda: vlm.answers([image, image], ["a"]),
        lambda: vlm.answers([], ["a"]),
    ]
    for call in calls:
        with pytest.raises(VLMError) as error:
            call()
        assert "at least one prompt" in one_sentence(error.value)
    for prompt, images in ((vlm.prompt("Hm?"), None), (vlm.prompt("Hm?", False), [image])):
        with pytest.raises(ValueError, match="<image>"):  # a place for a picture and none given, or reversed
            vlm.batch([prompt], images)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("make, images", [(tiny_vlm, True), (tiny_vlm, False), (tower_vlm, True)])
def test_answers_are_those_of_each_question_alone(make, images):
    """Against a greedy loop by hand: the whole sequence again for each token, one question at a time."""
    vlm, questions = make(), ["What is it?", "Who?", "What is he?"]
    pictures = [picture(i) for i in range(3)] if images else None
    replies = vlm.answers(pictures, questions, max_new_tokens=3)
    stop = vlm.model.generation_config.eos_token_id
    for i, question in enumerate(questions):
        batch, said = vlm.batch([vlm.prompt(question, images)], [pictures[i]] if images else None), []
        for _ in range(3):
            token = int(logits(vlm.model, batch)[0, -1].argmax())
            if token == stop:
                break
            said.append(token)
            batch["input_ids"] = torch.cat([batch["input_ids"], torch.tensor([[token]])], dim=1)
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        assert replies[i] == vlm.tokenizer.decode(said, skip_special_tokens=True).strip()
    assert vlm.answer(pictures and pictures[1], questions[1], 3) == replies[1]


def test_answers_stop_at_the_end_of_turn():
    """A model made to say one token and stop says one token."""
    vlm = load_vlm("tiny")
    louder(vlm.model)
    first = vlm.tokenizer("x")["input_ids"][0]
    with torch.no_grad():
        vlm.model.lm_head.weight.zero_()
    turn = iter([first, 1, first, first])

    def head(module, args, out):
        out = out.clone()
        out[..., next(turn)] = 1
        return out

    vlm.model.lm_head.register_forward_hook(head)
    assert vlm.answer(picture(0), "Hm?", max_new_tokens=4) == "x"


def test_answering_needs_no_gradient_and_keeps_the_model(vlm):
    before = weights(vlm.model)
    vlm.answer(picture(0), "Hm?", max_new_tokens=2)
    assert not changed(before, weights(vlm.model)) and all(p.grad is None for p in vlm.model.parameters())


@pytest.mark.assets
def test_the_mini_models_llm_speaks():
    """The assembled model, before any tuning, still knows what SmolLM2 knows."""
    questions = ["What is the capital of France?", "What is the capital of Italy?"]
    paris, rome = mini_base().answers(None, questions, max_new_tokens=8)
    assert "Paris" in paris and "Rome" in rome


@pytest.mark.assets
def test_mini_untrained_is_mini_base_with_another_llm():
    base, fresh = mini_base().model, load_vlm("mini-untrained", device="cpu").model
    differ = changed(base.state_dict(), fresh.state_dict())
    assert not {name for name in differ if "vision_tower" in name}
    matrices = {n for n, p in base.named_parameters() if p.ndim > 1 and "language_model" in n}
    assert len(matrices) == 30 * 7 + 1 and differ >= matrices
    assert fresh.lm_head.weight is fresh.get_input_embeddings().weight


def test_answers_are_refused_where_the_processor_ends_prompts_itself(monkeypatch):
    vlm = tiny_vlm()
    monkeypatch.setattr(type(vlm.processor), "model_input_names", ["input_ids", "labels"], raising=False)
    assert "input_ids" in vlm.batch([vlm.prompt("What?")], [picture(0)])
    with pytest.raises(VLMError, match="adds text after") as error:
        vlm.batch([vlm.prompt("What?")], [picture(0)], ["red"])
    one_sentence(error.value)


def test_two_places_in_one_prompt_are_no_place_in_another():
    """As many places as pictures in all, but not in each prompt."""
    vlm, picture = tiny_vlm(), Image.new("RGB", (8, 8))
    both, none = vlm.prompt("a") * 2, vlm.prompt("a", has_image=False)
    for prompts in ([both, none], [none, both]):
        with pytest.raises(VLMError, match="Each prompt must have the place of its picture"):
            vlm.batch(prompts, [picture, picture])
