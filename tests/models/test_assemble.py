"""The small VLMs: the mini model's weights against the files they come from, and how it is put together."""

import errno
import json
import logging
import os

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from PIL import Image
from safetensors import SafetensorError
from small_models import changed, logits, louder, mini_base, one_sentence, picture, use_parts, weights
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from paperlib.models import assemble
from paperlib.models.assemble import GGUF, VISION_WEIGHTS, build_mini, build_tiny
from paperlib.models.grafting import randomized
from paperlib.models.vlm import load_vlm
from paperlib.study.disk import DiskError
from paperlib.tasks.assets import AssetError, asset_path

# Names in GGUF and in transformers, for one block.
BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture
def parts(monkeypatch, tmp_path):
    return use_parts(monkeypatch, tmp_path)


def rotary_order(matrix, heads):
    """GGUF keeps the two members of a rotary pair side by side, transformers half a head apart."""
    rows = matrix.shape[0] // heads
    order = [head * rows + 2 * i + half for head in range(heads) for half in (0, 1) for i in range(rows // 2)]
    return matrix[order]


def same(weight, expected):
    np.testing.assert_array_equal(weight.detach().numpy(), expected)


def check_block(model, i, read):
    """Every weight of decoder block i equals what `read` (a GGUF tensor's name -> array) gives."""
    config = model.config.text_config
    block = dict(model.get_decoder().layers[i].named_parameters())
    assert set(block) == {f"{name}.weight" for name in BLOCK.values()}
    for theirs, ours in BLOCK.items():
        expected = read(f"blk.{i}.{theirs}.weight")
        if theirs in ("attn_q", "attn_k"):
            heads = config.num_attention_heads if theirs == "attn_q" else config.num_key_value_heads
            expected = rotary_order(expected, heads)
        same(block[f"{ours}.weight"], expected)


def test_mini_is_built_from_its_parts(parts, tmp_path, capfd):
    said = []
    folder = build_mini(said.append)
    model, tokenizer = LlavaForConditionalGeneration.from_pretrained(folder), load_vlm("mini-base").tokenizer
    for i in range(2):
        check_block(model, i, parts.get)
    words, n = model.get_input_embeddings().weight.detach().numpy(), len(parts["token_embd.weight"])
    np.testing.assert_array_equal(words[:n], parts["token_embd.weight"])
    assert words.shape[0] == n + 1 == len(tokenizer) and not words[n].any()  # one row more, for <image>
    same(model.get_decoder().norm.weight, parts["output_norm.weight"])
    assert model.lm_head.weight is model.get_input_embeddings().weight  # the GGUF has no head of its own
    text = model.config.text_config
    assert text.rope_parameters["rope_theta"] == 50000 and text.rms_norm_eps == pytest.approx(1e-5)
    assert text.tie_word_embeddings and model.config.tie_word_embeddings
    assert model.config.image_token_id == tokenizer.convert_tokens_to_ids("<image>") == n
    tower = torch.load(tmp_path / "parts" / "tower.pth", weights_only=True)
    ours = model.model.vision_tower.encoder.state_dict()
    assert all(torch.equal(value, tower[name]) for name, value in ours.items())
    assert model.generation_config.eos_token_id == model.generation_config.pad_token_id == 2
    assert "quantization_config" not in (folder / "config.json").read_text()
    assert len(said) == 1 and "assembling" in said[0]
    out, err = capfd.readouterr()
    assert "%" not in out + err  # no progress bar is left behind


def test_mini_is_built_once(parts, monkeypatch):
    folder = build_mini()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(assemble, "AutoModelForCausalLM", None)  # what building again would need
    said = []
    assert build_mini(said.append) == folder and not said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # and nothing else is left there


def test_a_process_beside_this_one_that_was_faster(parts, monkeypatch):
    """Its folder is taken, and one's own is not left behind."""
    save, theirs = assemble._save, []

    def late(model, processor, folder):
        theirs.append(save(model, processor, folder))
        (folder / "theirs").touch()
        return save(model, processor, folder)

    monkeypatch.setattr(assemble, "_save", late)
    assert (build_mini() / "theirs").exists()
    assert [path.name for path in theirs[0].parent.iterdir()] == [theirs[0].name]


def test_mini_is_the_same_each_time_and_another_for_other_parts(parts, tmp_path, monkeypatch):
    torch.manual_seed(99)  # the connector's seed does not depend on what ran before
    first = weights(LlavaForConditionalGeneration.from_pretrained(build_mini()))
    folder = build_mini()
    monkeypatch.setenv("PAPERLIB_ROOT", str(tmp_path / "another"))
    assert not changed(first, weights(LlavaForConditionalGeneration.from_pretrained(build_mini())))
    assert build_mini().name == folder.name
    with open(tmp_path / "parts" / "tower.pth", "ab") as stream:
        stream.write(b"\0")
    monkeypatch.setattr(assemble, "AutoModelForCausalLM", None)  # what building again needs
    with pytest.raises(AttributeError):
        build_mini()


def test_a_build_that_fails_leaves_nothing(parts, monkeypatch, tmp_path):
    def no_space(self, folder):
        raise OSError("No space left on device")

    monkeypatch.setattr(LlavaProcessor, "save_pretrained", no_space)
    with pytest.raises(OSError, match="No space"):
        build_mini()
    assert not list((tmp_path / "root" / "data" / "cache" / "models").iterdir())
    monkeypatch.undo()


@pytest.mark.parametrize("where", ["weights", "processor", "digests"])
def test_a_full_disk_leaves_nothing_and_says_so(where, parts, monkeypatch, tmp_path):
    full = os.strerror(errno.ENOSPC)
    error = SafetensorError(f"I/O error: {full} (os error 28)") if where == "weights" else OSError(errno.ENOSPC, full)

    def no_space(*args, **kwargs):
        raise error

    target = {
        "weights": (LlavaForConditionalGeneration, "save_pretrained"),
        "processor": (LlavaProcessor, "save_pretrained"),
        "digests": (assemble, "write_json"),
    }[where]
    with monkeypatch.context() as patched:
        patched.setattr(*target, no_space)
        with pytest.raises(DiskError) as raised:
            load_vlm("mini-base")
    assert "disk of data/cache/models" in one_sentence(raised.value)
    assert not list((tmp_path / "root" / "data" / "cache" / "models").iterdir())
    assert build_mini().is_dir()


def damaged(folder, damage):
    """Harm a model's folder as a disk or an unfinished copy would."""
    file = {
        "zeros": "model.safetensors",
        "cut weights": "model.safetensors",
        "half a tokenizer": "tokenizer.json",
        "another digit": "config.json",
        "no template": "chat_template.jinja",
    }.get(damage, assemble.DIGESTS)
    content = (folder / file).read_bytes()
    if damage in ("no digests", "no template"):
        (folder / file).unlink()
    elif damage == "zeros":
        (folder / file).write_bytes(content[:-4000] + bytes(4000))
    elif damage == "another digit":
        (folder / file).write_bytes(content.replace(b"32", b"33"))
    else:
        (folder / file).write_bytes(b"[]" if damage == "empty digests" else content[: len(content) // 2])


@pytest.mark.parametrize(
    "damage",
    [
        "zeros",
        "cut weights",
        "half a tokenizer",
        "another digit",
        "no template",
        "no digests",
        "half the digests",
        "empty digests",
    ],
)
def test_a_damaged_folder_is_made_again(damage, parts, monkeypatch, caplog):
    folder = build_mini()
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert whole.keys() >= {
        assemble.DIGESTS,
        "model.safetensors",
        "tokenizer.json",
        "config.json",
        "chat_template.jinja",
    }
    damaged(folder, damage)
    monkeypatch.setattr(assemble, "_checked", set())  # as in a new process
    with caplog.at_level(logging.WARNING, "paperlib"):
        assert build_mini() == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert len(caplog.records) == 1 and "made again" in caplog.text and "damaged" in caplog.text
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert build_mini() == folder and load_vlm("mini-base") and len(caplog.records) == 1


def test_a_folder_is_checked_once_a_process(parts, monkeypatch):
    folder, read = build_mini(), []
    digest = assemble.file_digest
    monkeypatch.setattr(assemble, "file_digest", lambda path: read.append(path.name) or digest(path))
    build_mini()
    assert "model.safetensors" in read
    read.clear()
    build_mini()
    assert "model.safetensors" not in read and folder.is_dir()


def test_a_missing_part_is_an_asset_error(monkeypatch, tmp_path):
    def missing(asset, member):
        raise AssetError("There is no asset.")

    monkeypatch.setattr(assemble, "asset_path", missing)
    for name in ("mini-base", "mini-untrained"):
        with pytest.raises(AssetError):
            load_vlm(name)
    model, processor = build_tiny()  # needs none
    assert model.config.image_token_id == 2


def test_the_connector_starts_at_the_spread_of_words(parts):
    model = LlavaForConditionalGeneration.from_pretrained(build_mini())
    bridge = model.model.multi_modal_projector
    usual = model.config.text_config.initializer_range
    assert bridge.linear_1.weight.std().item() == pytest.approx(usual / 5, rel=0.1)
    assert bridge.linear_2.weight.std().item() == pytest.approx(usual, rel=0.1)


def test_chat_template():
    render = build_tiny()[1].apply_chat_template
    image, hello = {"type": "image"}, {"type": "text", "text": "Hello?"}
    user = [{"role": "user", "content": [hello, image]}]
    assert render(user) == "<|im_start|>user\n<image>Hello?<|im_end|>\n"  # the picture comes first
    assert render(user, add_generation_prompt=True) == render(user) + "<|im_start|>assistant\n"
    assert render([{"role": "user", "content": [hello]}]) == "<|im_start|>user\nHello?<|im_end|>\n"
    assert render([{"role": "system", "content": "Be brief."}]) == "<|im_start|>system\nBe brief.<|im_end|>\n"
    talk = [*user, {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}, user[0]]
    assert render(talk) == render(user) + "<|im_start|>assistant\nHi.<|im_end|>\n" + render(user)


@pytest.mark.parametrize("size", [(128, 128), (200, 90), (8, 8)])
def test_pictures_become_values_from_minus_one_to_one(size):
    processor = build_tiny()[1]
    for colour, value in [((255, 255, 255), 1.0), ((0, 0, 0), -1.0), ((255, 0, 51), None)]:
        image = Image.new("RGB", size, colour)
        pixels = processor.image_processor(image, return_tensors="pt")["pixel_values"]
        assert pixels.shape == (1, 3, 128, 128)
        expected = torch.tensor([c / 127.5 - 1 for c in colour]) if value is None else torch.full((3,), value)
        torch.testing.assert_close(pixels[0], expected[:, None, None].expand(3, 128, 128), atol=1e-5, rtol=0)
    noise = picture(0)  # 128 x 128 is taken as it is: neither cropped nor blurred
    pixels = processor.image_processor(noise, return_tensors="pt")["pixel_values"][0]
    expected = torch.from_numpy(np.array(noise)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(pixels, expected, atol=1e-5, rtol=0)


def test_tiny_depends_on_its_seed_alone():
    torch.manual_seed(1)
    a = build_tiny(0)[0]
    torch.manual_seed(2)
    assert not changed(weights(a), weights(build_tiny(0)[0]))
    assert changed(weights(a), weights(build_tiny(1)[0]))
    assert 50_000 < a.num_parameters() < 200_000


@pytest.mark.parametrize("text", ["A red circle?\n", "ünïcödé 語 🐕", "  two  spaces", "<|im_end|><image>", ""])
def test_tiny_tokenizer_knows_every_byte(text):
    tokenizer = build_tiny()[1].tokenizer
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    plain = text.replace("<|im_end|>", "").replace("<image>", "")
    assert len(ids) == len(plain.encode()) + text.count("<|im_end|>") + text.count("<image>")


def test_untrained_shares_the_tower_and_nothing_else(parts):
    base = LlavaForConditionalGeneration.from_pretrained(build_mini())
    before, fresh = weights(base), randomized(base, seed=1)
    differ = changed(before, weights(fresh))
    assert not {name for name in differ if "vision_tower" in name}
    matrices = {name for name, p in base.named_parameters() if p.ndim > 1 and "vision_tower" not in name}
    assert differ >= matrices and len(matrices) == 2 * 7 + 3
    assert not changed(before, weights(base))  # the model itself is as it was
    assert fresh.lm_head.weight is fresh.get_input_embeddings().weight
    words = fresh.get_input_embeddings().weight
    assert words.std().item() == pytest.approx(base.config.text_config.initializer_range, rel=0.05)
    assert fresh.generation_config.eos_token_id == 2
    assert not changed(weights(fresh), weights(randomized(base, seed=1)))
    assert changed(weights(fresh), weights(randomized(base, seed=2)))


@pytest.mark.assets
def test_mini_holds_smollm2_exactly():
    """The GGUF, dequantised by gguf's own code, against the model's weights: blocks, embedding, last norm."""
    model = mini_base().model
    tensors = {t.name: t for t in GGUFReader(asset_path("smollm2", GGUF)).tensors}
    read = lambda name: dequantize(tensors[name].data, tensors[name].tensor_type)  # noqa: E731
    for i in (0, 29):
        check_block(model, i, read)
    assert len(model.get_decoder().layers) == 30 and "blk.30.attn_q.weight" not in tensors
    words = model.get_input_embeddings().weight.detach().numpy()
    some = slice(0, 49152, 50)
    theirs = dequantize(tensors["token_embd.weight"].data[some], tensors["token_embd.weight"].tensor_type)
    np.testing.assert_array_equal(words[some], theirs)
    assert words.shape == (49153, 576) and "output.weight" not in tensors
    assert model.lm_head.weight is model.get_input_embeddings().weight
    same(model.get_decoder().norm.weight, read("output_norm.weight"))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    text = model.config.text_config
    assert (text.num_attention_heads, text.num_key_value_heads, text.head_dim) == (9, 3, 64)
    assert text.rope_parameters["rope_theta"] == 100000 and text.rms_norm_eps == pytest.approx(1e-5)


@pytest.mark.assets
def test_mini_holds_efficientnet_exactly():
    theirs = torch.load(asset_path("efficientnet", VISION_WEIGHTS), map_location="cpu", weights_only=True)
    ours = mini_base().model.model.vision_tower.encoder.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert {name.split(".")[0] for name in theirs.keys() - ours.keys()} == {"_conv_head", "_bn1", "_fc"}


@pytest.mark.assets
def test_the_saved_mini_is_relocatable():
    """Nothing in its folder says where it was made."""
    folder = build_mini()
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        content.pop("model", None)  # the vocabulary
        assert str(folder.parent) not in json.dumps(content) and '"/' not in json.dumps(content)


def test_louder_models_still_tell_pictures_apart():
    """The shared helper does what the other tests rely on: pictures and words move the logits."""
    model, processor = build_tiny()
    louder(model)
    texts = ["<image>one", "<image>one", "<image>two"]
    batch = processor(text=texts, images=[picture(0), picture(1), picture(0)], return_tensors="pt")
    a, b, c = logits(model, batch)[:, -1]
    assert (a - b).abs().max() > 0.05 and (a - c).abs().max() > 0.05
