from itertools import pairwise

import huggingface_hub.constants
import pytest
import torch
from torch.nn import functional

from defectlib.errors import UserError
from defectlib.segmentation.losses import criterion
from defectlib.segmentation.models import MEAN, MODELS, STD, build, parameter_count, spec
from defectlib.settings import MODEL_NAMES


def pixels(*shape, seed=0):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.parametrize("name", MODELS)
def test_any_size_in_same_size_out(name):
    model = build(name, 5).eval()
    with torch.inference_mode():
        for size in ((64, 64), (37, 150), (16, 20)):
            logits = model(pixels(1, 3, *size))
            assert logits.shape == (1, 6, *size)
            assert logits.dtype == torch.float32
            assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", MODELS)
def test_seed_decides_the_weights_and_leaves_the_global_generator_alone(name):
    state = torch.random.get_rng_state()
    first, again, other = (build(name, 2, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_the_network_sees_normalised_pixels_padded_to_its_stride():
    model = build("UNet", 1).eval()
    images = pixels(2, 3, 40, 64)
    expected = (images.float() - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        padded = functional.pad(expected, (0, 0, 0, 24), mode="replicate")
        torch.testing.assert_close(model(images), model.net(padded)[..., :40, :])
        torch.testing.assert_close(model(images), model(images.float()))


def test_small_inputs_are_enlarged_and_large_ones_are_not():
    model = build("M-B0", 1).eval()
    seen = []
    model.net.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[-2:])))
    with torch.inference_mode():
        for size in ((64, 64), (64, 96), (128, 160)):
            model(pixels(1, 3, *size))
    assert seen == [(128, 128), (128, 192), (128, 160)]


def test_abbreviations_titles_and_order_are_the_papers():
    assert list(MODELS) == ["UNet", "PSP", "DL", "HR", "Bise", "V-T", "M-B0", "M2F"]  # Table 2
    assert [spec.title for spec in MODELS.values()] == list(MODEL_NAMES.values())
    assert all(spec.name == name for name, spec in MODELS.items())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(64, 64), (37, 50)])
def test_the_first_head_is_what_comes_out_and_all_have_the_size_of_the_images(name, size):
    model = build(name, 2).eval()
    images = pixels(2, 3, *size)
    with torch.inference_mode():
        logits, heads = model(images), model.heads(images)
    assert len(heads) == {"PSP": 2, "Bise": 5, "M2F": 10}.get(name, 1)
    if name == "M2F":
        assert all(queries.classes.shape == (2, 100, 4) for queries in heads)
        return
    torch.testing.assert_close(heads[0], logits)
    assert all(head.shape == (2, 3, *size) for head in heads)


@pytest.mark.parametrize("name", ["PSP", "Bise", "M2F"])
def test_every_weight_is_trained(name):
    model = build(name, 2).train()
    target = torch.randint(3, (2, 64, 64), generator=torch.Generator().manual_seed(0))
    criterion(model, torch.ones(3), 0.4)(model.heads(pixels(2, 3, 64, 64)), target).backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize(
    ("typed", "meant"), [("segfromer", "M-B0"), ("unet", "UNet"), ("deeplabv3", "DL"), ("mb0", "M-B0"), ("dl", "DL")]
)
def test_unknown_model_offers_the_nearest_by_abbreviation_or_title(typed, meant):
    with pytest.raises(UserError, match=rf"^unknown model '{typed}': did you mean '{meant}'\? known are UNet"):
        spec(typed)


def test_unknown_model_far_from_all_lists_them():
    with pytest.raises(UserError, match=r"^unknown model 'xyzzy': known are UNet \(UNet-small\), .*Segformer-MiT-B0"):
        build("xyzzy", 3)


def test_parameter_counts():
    widths = [24, 48, 96, 192, 384]

    def pair_of_convolutions(inputs, outputs):  # and their batch normalisations
        return 9 * inputs * outputs + 9 * outputs**2 + 4 * outputs

    down = sum(pair_of_convolutions(a, b) for a, b in pairwise([3, *widths]))
    up = sum(4 * a * b + a + pair_of_convolutions(2 * a, a) for a, b in pairwise(widths))
    assert parameter_count(build("UNet", 5)) == down + up + 6 * (24 + 1)
    assert parameter_count(build("DL", 5).net.encoder) == 11_176_512  # ResNet-18 without its classifier
    assert parameter_count(build("PSP", 5).net.encoder) == 11_176_512  # dilation changes no count
    assert parameter_count(build("HR", 5)) == 3_860_720 + 270 * 270 + 2 * 270 + 6 * (270 + 1)  # branches, head
    assert 3.6e6 < parameter_count(build("M-B0", 5)) < 3.9e6  # 3.7 M to 3.8 M in the literature


def test_a_model_without_pretrained_weights_says_so():
    with pytest.raises(UserError, match=r"^model 'UNet' has no ImageNet weights: set pretrained to false$"):
        build("UNet", 2, pretrained=True)


def test_pretrained_weights_that_cannot_be_fetched(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"^model 'DL': the ImageNet weights cannot be fetched") as error:
        build("DL", 2, pretrained=True)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("go online once, or set pretrained to false")
