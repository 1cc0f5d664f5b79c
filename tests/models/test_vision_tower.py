"""The vision tower against the package's own network, read through forward hooks."""

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from small_models import mini_base, picture, tower_vlm, uneven, weights
from torch import nn
from transformers import AutoConfig, AutoModel

from paperlib.models.assemble import VISION_WEIGHTS, load_vision
from paperlib.models.vision_tower import EfficientNetLiteConfig, EfficientNetLiteModel
from paperlib.tasks.assets import asset_path


def make_tower(image_size=128):
    torch.manual_seed(3)
    return uneven(EfficientNetLiteModel(EfficientNetLiteConfig(image_size=image_size))).eval()


def pixels(side=128, n=2):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(4))


def reading(network, x):
    """Image tokens by the book: the package's network, its blocks' outputs by hook, one token at a time."""
    outputs = []
    hooks = [block.register_forward_hook(lambda module, args, out: outputs.append(out)) for block in network._blocks]
    with torch.no_grad():
        network.eval().extract_features(x)
    for hook in hooks:
        hook.remove()
    side = x.shape[-1] // 32
    fine = [out for out in outputs if out.shape[-1] == 2 * side][-1]  # the last block at stride 16
    coarse = outputs[-1]
    assert fine.shape[1] == 112 and coarse.shape[1:] == (320, side, side)
    tokens = []
    for row in range(side):
        for column in range(side):
            patch = fine[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]  # [B, 112, 2, 2]
            tokens.append(torch.cat([patch.flatten(1), coarse[:, :, row, column]], dim=1))
    return torch.stack(tokens, dim=1)


@pytest.mark.parametrize("side, n_tokens", [(128, 16), (64, 4)])
def test_tokens_are_the_networks_feature_maps(side, n_tokens):
    tower, x = make_tower(side).double(), pixels(side).double()  # float32 sums differ by the memory's layout
    network = EfficientNet.from_name("efficientnet-lite0", image_size=side).double()
    missing, unexpected = network.load_state_dict(tower.encoder.state_dict(), strict=False)
    assert not unexpected and {key.split(".")[0] for key in missing} == {"_conv_head", "_bn1", "_fc"}
    with torch.no_grad():
        out = tower(x)
    assert out.last_hidden_state.shape == (2, n_tokens, 768) and tower.config.hidden_size == 768
    assert torch.equal(out.hidden_states[-1], out.last_hidden_state)
    expected = reading(network, x)
    assert expected.std() > 0.01 and expected.std(dim=1).mean() > 0.003  # the check is not about constants
    torch.testing.assert_close(out.last_hidden_state, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.assets
def test_imagenet_weights_are_those_of_the_package():
    tower = make_tower()
    load_vision(tower)
    network = EfficientNet.from_name("efficientnet-lite0", image_size=128)
    path = asset_path("efficientnet", VISION_WEIGHTS)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
    x = mini_base().processor.image_processor([picture(1), picture(2)], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        torch.testing.assert_close(tower(x).last_hidden_state, reading(network, x), rtol=1e-4, atol=1e-4)
        seen = mini_base().model.model.vision_tower(x).last_hidden_state  # the assembled model's tower
        assert torch.equal(seen, tower(x).last_hidden_state)


def test_always_in_evaluation_mode():
    """In training mode BatchNorm would take the statistics of the batch, and keep them."""
    vlm = tower_vlm()
    tower, before = vlm.model.model.vision_tower, weights(vlm.model.model.vision_tower)
    with torch.no_grad():
        calm = tower(pixels()).last_hidden_state
        vlm.model.train()
        assert vlm.model.training and vlm.layers[0].training  # the rest does as it is told
        assert not any(module.training for module in tower.modules())
        assert torch.equal(tower(pixels()).last_hidden_state, calm)
        tower.train(True)
        assert not any(module.training for module in tower.modules())
        tower(pixels())
    statistics = [name for name in before if "running" in name or "num_batches" in name]
    assert len(statistics) > 100
    assert all(torch.equal(tower.state_dict()[name], before[name]) for name in statistics)


def test_tokens_of_a_picture_do_not_depend_on_its_neighbours():
    """In float64: in float32 oneDNN chooses another convolution for another batch, which rounds differently."""
    tower = tower_vlm().model.model.vision_tower.double()
    with torch.no_grad():
        together = tower(pixels().double()).last_hidden_state
        alone = tower(pixels()[:1].double()).last_hidden_state
    torch.testing.assert_close(alone, together[:1], rtol=1e-9, atol=1e-9)


def test_batch_statistics_would_be_noticed():
    """The check above is worth something: the same network in training mode gives other features."""
    tower = make_tower()
    with torch.no_grad():
        calm = tower(pixels()).last_hidden_state
        nn.Module.train(tower.encoder, True)
        assert (tower(pixels()).last_hidden_state - calm).abs().max() > 0.01


def test_saved_and_found_by_the_auto_classes(tmp_path):
    tower = make_tower()
    tower.save_pretrained(tmp_path)
    config, again = AutoConfig.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)
    assert type(config) is EfficientNetLiteConfig and type(again) is EfficientNetLiteModel
    assert config.model_type == "efficientnet_lite"
    assert not any(module.training for module in again.modules())
    assert again.state_dict().keys() == tower.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(again(pixels()).last_hidden_state, tower(pixels()).last_hidden_state)


def test_the_classification_head_is_left_out():
    names = {name.split(".")[1] for name, _ in make_tower().named_parameters()}
    assert names == {"_conv_stem", "_bn0", "_blocks"}
