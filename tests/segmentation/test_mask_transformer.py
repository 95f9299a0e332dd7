import huggingface_hub.constants
import pytest
import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from defectlib.segmentation.mask_transformer import BACKBONE, MaskTransformer, ViTSegmenter

WIDTH, PATCH = 192, 16


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return ViTSegmenter(6)


def size(module):
    return sum(value.numel() for value in module.parameters())


@pytest.mark.parametrize("sides", [(64, 64), (128, 96), (16, 160)])
def test_any_size(net, sides):
    with torch.inference_mode():
        logits = net.eval()(noise(2, 3, *sides))
    assert logits.shape == (2, 6, sides[0] // PATCH, sides[1] // PATCH)
    assert torch.isfinite(logits).all()


def test_seed_decides_the_weights():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(ViTSegmenter(3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_parameter_counts():
    layer = 12 * WIDTH**2 + 13 * WIDTH  # attention 4, feed-forward 8; their biases 4 and 5, two normalisations 4
    positions = (384 // PATCH) ** 2 + 1
    backbone = PATCH**2 * 3 * WIDTH + WIDTH + (positions + 1) * WIDTH + 12 * layer + 2 * WIDTH
    decoder = 2 * layer + 3 * WIDTH**2 + WIDTH + 2 * WIDTH
    net = ViTSegmenter(150)  # the classes of ADE20K
    assert size(net.backbone) == backbone == 5_597_376
    assert size(net.decoder) == decoder + 150 * WIDTH + 2 * 150 == 1_029_996
    # The authors' table (README of rstrudel/segmenter) has 7 M for Seg-T-Mask/16, the paper 6 M for its backbone: both
    # rounded to a million.
    assert round(size(net) / 1e6) == 7
    assert round(size(net.backbone) / 1e6) == 6


def multiply_adds(sides, outputs):
    """By hand, and the part of it that is spent on the attention's two products."""
    patches = sides[0] * sides[1] // PATCH**2
    layers = [patches + 1] * 12 + [patches + outputs] * 2
    products = sum(2 * tokens**2 * WIDTH for tokens in layers)
    linear = sum(12 * tokens * WIDTH**2 for tokens in layers)
    embedding = patches * PATCH**2 * 3 * WIDTH
    ends = 2 * patches * WIDTH**2 + outputs * WIDTH**2 + patches * outputs * WIDTH
    return embedding + linear + products + ends, products


def test_flops():
    # The paper reports frames per second and no FLOPs, so the reference is the closed form.
    with torch.device("meta"):
        net = ViTSegmenter(150).eval()
        for module in net.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False  # the counter has no formula for the fused kernel of every device
        with FlopCounterMode(display=False) as counter:
            net(torch.empty(1, 3, 512, 512))
    assert counter.get_total_flops() == 2 * multiply_adds((512, 512), 150)[0] == 2 * 12_641_115_648


def test_flops_of_the_backbone_are_the_published_ones():
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        ViTSegmenter(2).backbone.eval()(torch.empty(1, 3, 224, 224))
    whole = counter.get_total_flops() / 2
    tokens = (224 // PATCH) ** 2 + 1
    # timm's model card of ViT-Tiny/16 at 224 px has 1.1 GMACs, which leaves the attention's two products out.
    products = 12 * 2 * tokens**2 * WIDTH
    counted_in = whole > 1.2e9
    assert round((whole - products * counted_in) / 1e9, 1) == 1.1


def test_masks_are_the_normalised_cosines_of_patches_and_classes():
    torch.manual_seed(0)
    decoder = MaskTransformer(outputs=3, width=64).eval()
    torch.nn.init.normal_(decoder.norm_masks.weight)
    torch.nn.init.normal_(decoder.norm_masks.bias)
    patches = noise(2, 5, 64)
    with torch.inference_mode():
        masks = decoder(patches)
        tokens = torch.cat([decoder.project(patches), decoder.classes.expand(2, -1, -1)], dim=1)
        for block in decoder.blocks:
            tokens = block(tokens)
        tokens = decoder.norm(tokens)
        for image in range(2):
            for patch in range(5):
                here = decoder.project_patches.weight @ tokens[image, patch]
                cosines = torch.stack([
                    functional.cosine_similarity(here, decoder.project_classes.weight @ token, dim=0)
                    for token in tokens[image, 5:]
                ])  # fmt: skip
                spread = (cosines.var(correction=0) + decoder.norm_masks.eps).sqrt()
                expected = (cosines - cosines.mean()) / spread * decoder.norm_masks.weight + decoder.norm_masks.bias
                torch.testing.assert_close(masks[image, patch], expected)


@pytest.mark.parametrize("outputs", [2, 3])
def test_decoder_learns_which_patches_are_defects(outputs):
    torch.manual_seed(0)
    decoder = MaskTransformer(outputs, width=64)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3)
    kinds = noise(outputs, 64, seed=1)
    for step in range(60):
        target = torch.zeros(4, 32, dtype=torch.long)
        target[:, : outputs - 1] = torch.arange(1, outputs)  # one patch in 32 of each defect type
        masks = decoder(kinds[target] + noise(4, 32, 64, seed=step))
        optimizer.zero_grad()
        functional.cross_entropy(masks.flatten(0, 1), target.flatten()).backward()
        optimizer.step()
    assert torch.equal(masks.argmax(-1), target)


def test_two_classes_keep_the_size_of_their_difference():
    norm = MaskTransformer(outputs=2, width=64).norm_masks
    half = torch.tensor([0.01, 0.05, 0.25, 1.0])
    expected = half / (half**2 + 0.1).sqrt()
    torch.testing.assert_close(norm(torch.stack([half, -half], dim=1)), torch.stack([expected, -expected], dim=1))
    assert MaskTransformer(outputs=3, width=64).norm_masks.eps == 1e-5


def test_order_of_the_patches_is_kept_and_that_of_the_others_does_not_matter():
    torch.manual_seed(0)
    decoder = MaskTransformer(outputs=3, width=64).eval()
    patches = noise(1, 7, 64)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    with torch.inference_mode():
        torch.testing.assert_close(decoder(patches[:, order]), decoder(patches)[:, order])


def test_logits_lie_where_their_patches_do(net):
    tokens = noise(1, 1 + 2 * 3, WIDTH)  # the class token, then rows of patches
    net.eval()
    handle = net.backbone.norm.register_forward_hook(lambda *_: tokens)
    with torch.inference_mode():
        logits = net(torch.zeros(1, 3, 2 * PATCH, 3 * PATCH))
        masks = net.decoder(tokens[:, 1:])
    handle.remove()
    for row in range(2):
        for column in range(3):
            torch.testing.assert_close(logits[0, :, row, column], masks[0, 3 * row + column])


def test_backbone_sees_pixels_as_its_weights_were_trained_on_them(net):
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    seen = []
    handle = net.backbone.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        net.eval()((pixels - mean) / std)
    handle.remove()
    torch.testing.assert_close(seen[0], 2 * pixels - 1)  # mean and deviation 0.5


def test_backbone_is_the_authors():
    config = timm.get_pretrained_cfg(BACKBONE)
    # The file that the authors' `vit_tiny_patch16_384` names; timm's tag is a conversion of it.
    name = "Ti_16-i21k-300ep-lr_0.001-aug_none-wd_0.03-do_0.0-sd_0.0--imagenet2012-steps_20k-lr_0.03-res_384.npz"
    assert config.url.endswith(f"/augreg/{name}")
    assert config.hf_hub_id == f"timm/{BACKBONE}"


def test_gradients_reach_every_parameter(net):
    net.train().zero_grad()
    target = torch.randint(6, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    functional.cross_entropy(net(noise(2, 3, 64, 64)), target).backward()
    for name, value in net.named_parameters():
        assert torch.isfinite(value.grad).all(), name
        assert value.grad.any(), name


def test_weights_that_cannot_be_fetched_are_an_os_error(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="cannot find the requested files"):
        ViTSegmenter(2, pretrained=True)
