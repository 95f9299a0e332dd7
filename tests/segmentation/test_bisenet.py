import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from defectlib.segmentation.bisenet import (
    BiSeNetV2,
    ContextEmbedding,
    GatherExpansion,
    GuidedAggregation,
    Stem,
    convolution,
)

PAPER_MULTIPLY_ADDS = 21.15e9  # "21.15 GFLOPs" for the 512 × 1024 px that the paper computes on, 19 classes


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return BiSeNetV2(6)


def table_1(hidden, outputs):
    """The paper's Table 1 and Fig. 4 to 7, layer by layer: kernel, channels in, channels out, groups, output stride."""
    detail = [(3, 3, 64, 1, 2), (3, 64, 64, 1, 2), (3, 64, 64, 1, 4), (3, 64, 64, 1, 4), (3, 64, 64, 1, 4)]
    detail += [(3, 64, 128, 1, 8), (3, 128, 128, 1, 8), (3, 128, 128, 1, 8)]
    semantic = [(3, 3, 16, 1, 2), (1, 16, 8, 1, 2), (3, 8, 16, 1, 4), (3, 32, 16, 1, 4)]
    for a, b, stride, repeats in ((16, 32, 8, 1), (32, 64, 16, 1), (64, 128, 32, 3)):
        semantic += [(3, a, a, 1, stride // 2), (3, a, 6 * a, a, stride), (3, 6 * a, 6 * a, 6 * a, stride)]
        semantic += [(1, 6 * a, b, 1, stride), (3, a, a, a, stride), (1, a, b, 1, stride)]
        semantic += repeats * [(3, b, b, 1, stride), (3, b, 6 * b, b, stride), (1, 6 * b, b, 1, stride)]
    context = [(1, 128, 128, 1, None), (3, 128, 128, 1, 32)]  # None: of a single pixel
    aggregation = [(3, 128, 128, 128, 8), (1, 128, 128, 1, 8), (3, 128, 128, 1, 16), (3, 128, 128, 1, 32)]
    aggregation += [(3, 128, 128, 128, 32), (1, 128, 128, 1, 32), (3, 128, 128, 1, 8)]
    head = [(3, 128, hidden, 1, 8), (1, hidden, outputs, 1, 8)]
    return [*detail, *semantic, *context, *aggregation], head


def weights(layers):
    return sum(kernel**2 * inputs // groups * outputs for kernel, inputs, outputs, groups, _ in layers)


def multiply_adds(layers, height, width):
    return sum(weights([layer]) * (height * width // layer[-1] ** 2 if layer[-1] else 1) for layer in layers)


def served(net):
    """Names and parameters of what inference runs, which is all but the boosters."""
    return {name: value for name, value in net.named_parameters() if not name.startswith("boosters.")}


def test_parameters_are_those_of_the_papers_table():
    body, head = table_1(1024, 19)
    count = sum(value.numel() for value in served(BiSeNetV2(19)).values())
    # Each convolution has a scale and a shift per output channel, from its normalisation. Four are different: the last
    # of the head has a bias, the two pointwise ones of the aggregation neither, and the context's mean is normalised.
    affine = sum(2 * outputs for _, _, outputs, _, _ in body + head[:1]) - 2 * 2 * 128 + 2 * 128 + 19
    assert count == weights(body + head) + affine == 3_358_627
    # The paper gives no count; tables that compare with it have 3.4 M.
    assert count == pytest.approx(3.4e6, rel=0.02)


def test_flops_are_those_of_the_papers_table_and_near_its_total():
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        BiSeNetV2(19).eval()(torch.empty(1, 3, 512, 1024))
    body, head = table_1(1024, 19)
    counted = counter.get_total_flops() // 2  # the counter has two operations for a multiply-add
    assert counted == multiply_adds(body + head, 512, 1024) == 24_603_312_128
    # 16 % more than the paper's total. Everything but the head is 14.8e9. The paper does not give the width of its
    # head: 512 channels would make 19.7e9, and it would take 664 to meet the total.
    narrower = [multiply_adds(body + table_1(hidden, 19)[1], 512, 1024) for hidden in (512, 664)]
    assert narrower[0] < PAPER_MULTIPLY_ADDS < counted
    assert narrower[1] == pytest.approx(PAPER_MULTIPLY_ADDS, rel=1e-3)
    assert counted == pytest.approx(PAPER_MULTIPLY_ADDS, rel=0.17)


@pytest.mark.parametrize("size", [(64, 64), (128, 96), (32, 160)])
def test_any_size(net, size):
    with torch.inference_mode():
        heads = net.eval().heads(noise(2, 3, *size))
    strides = [8, 4, 8, 16, 32]
    assert [tuple(logits.shape) for logits in heads] == [
        (2, 6, size[0] // stride, size[1] // stride) for stride in strides
    ]
    assert all(torch.isfinite(logits).all() for logits in heads)


def test_inference_gives_the_first_of_the_heads(net):
    x = noise(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(net.eval()(x), net.heads(x)[0])


def test_seed_decides_the_weights():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(BiSeNetV2(3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_gradients_reach_every_parameter_through_the_heads_and_no_booster_through_the_output(net):
    x = noise(2, 3, 64, 64)
    net.train().zero_grad()
    net(x).square().mean().backward()
    assert {name for name, value in net.named_parameters() if value.grad is not None} == set(served(net))
    net.zero_grad()
    sum(logits.square().mean() for logits in net.heads(x)).backward()
    for name, value in net.named_parameters():
        assert torch.isfinite(value.grad).all(), name
        assert value.ndim == 1 or value.grad.any(), name


def test_training_on_a_single_image_is_refused(net):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        net.train().heads(noise(1, 3, 64, 64))


def test_training_learns_one_pair(net):
    torch.manual_seed(0)
    net = BiSeNetV2(2).train()
    x = functional.interpolate(noise(2, 3, 4, 4), size=(64, 64), mode="bilinear")
    target = (x[:, 0] > 0).long()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    history = []
    for _ in range(8):
        heads = [functional.interpolate(logits, size=(64, 64), mode="bilinear") for logits in net.heads(x)]
        losses = torch.stack([functional.cross_entropy(logits, target) for logits in heads])
        optimizer.zero_grad()
        losses.sum().backward()
        optimizer.step()
        history.append(losses.detach())
    assert (history[-1] < 0.7 * history[0]).all()


def test_stem_joins_convolved_and_pooled_halves():
    stem = Stem(4).eval()
    x = noise(1, 3, 32, 32)
    entered = stem.enter(x)
    pooled = functional.max_pool2d(entered, 3, stride=2, padding=1)
    torch.testing.assert_close(stem(x), stem.fuse(torch.cat([stem.left(entered), pooled], dim=1)))
    assert stem(x).shape == (1, 4, 8, 8)


def test_gather_expansion_is_residual():
    layer = GatherExpansion(4, 4, stride=1).eval()
    x = noise(1, 4, 6, 6)
    torch.nn.init.zeros_(layer.body[-1].weight)  # the scale of the projection's normalisation
    torch.testing.assert_close(layer(x), x.relu())
    halved = GatherExpansion(4, 5, stride=2).eval()
    torch.nn.init.zeros_(halved.body[-1].weight)
    torch.testing.assert_close(halved(x), halved.shortcut(x).relu())
    assert halved(x).shape == (1, 5, 3, 3)


def test_gather_expansion_is_not_linear_between_expansion_and_projection():
    layer = GatherExpansion(4, 4, stride=1).eval()
    widened = layer.body[3:]  # after the gathering convolution and its activation
    x = noise(1, 4, 6, 6)
    assert not torch.allclose(widened(-x), -widened(x))


def test_context_embedding_carries_one_pixel_to_all():
    torch.manual_seed(0)
    layer = ContextEmbedding(32).eval()
    x = noise(1, 32, 16, 16)
    moved = x.clone()
    moved[..., 0, 0] += 100
    assert ((layer(moved) - layer(x)).abs().amax(dim=1) > 0).all()
    mean = x.mean(dim=(2, 3), keepdim=True) / (1 + layer.norm.eps) ** 0.5  # fresh statistics: mean 0, variance 1
    torch.testing.assert_close(layer(x), layer.fuse(x + layer.embed(mean)))


def test_aggregation_gates_each_branch_by_the_other():
    torch.manual_seed(0)
    layer = GuidedAggregation(4).eval()
    detail, semantic = noise(1, 4, 16, 16), noise(1, 4, 4, 4, seed=1)
    unit = (1 + 1e-5) ** -0.5  # what a fresh normalisation multiplies by
    fine, coarse, gate = layer.detail_fine, layer.detail_coarse, layer.semantic_coarse

    def up(x):
        return functional.interpolate(x, size=(16, 16), mode="bilinear")

    def pointwise(branch, x):
        return functional.conv2d(functional.conv2d(x, branch[0].weight, padding=1, groups=4) * unit, branch[2].weight)

    kept = pointwise(fine, detail)
    small = functional.conv2d(detail, coarse[0].weight, stride=2, padding=1) * unit
    small = functional.avg_pool2d(small, 3, stride=2, padding=1, count_include_pad=False)
    open_fine = torch.sigmoid(up(functional.conv2d(semantic, layer.semantic_fine[0].weight, padding=1) * unit))
    open_coarse = torch.sigmoid(pointwise(gate, semantic))
    expected = layer.fuse(kept * open_fine + up(small * open_coarse))
    torch.testing.assert_close(layer(detail, semantic), expected)


def test_aggregation_without_details_is_empty_and_with_an_undecided_semantic_half_open():
    layer = GuidedAggregation(4).eval()
    detail, semantic = noise(1, 4, 16, 16), noise(1, 4, 4, 4, seed=1)
    assert not layer(torch.zeros_like(detail), semantic).any()
    half = layer.fuse((layer.detail_fine(detail) + functional.interpolate(
        layer.detail_coarse(detail), scale_factor=4, mode="bilinear")) / 2)  # fmt: skip
    torch.testing.assert_close(layer(detail, torch.zeros_like(semantic)), half)


def test_convolutions_divide_the_sides_by_their_stride():
    for kernel, stride in ((1, 1), (3, 1), (3, 2)):
        layer = torch.nn.Sequential(*convolution(2, 5, kernel, stride))
        assert layer(noise(1, 2, 8, 12)).shape == (1, 5, 8 // stride, 12 // stride)
