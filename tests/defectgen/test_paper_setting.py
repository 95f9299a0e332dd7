"""The ``gpu`` profile is the setting of the paper and its release; where the nets differ, it is known by how much."""

from collections import Counter

import pytest
import torch
from torch import nn

from defectlib.defectgen import denoiser as denoiser_module
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.receptive_field import theoretical_field
from defectlib.defectgen.training import learning_rate
from defectlib.profiles import load_profile
from defectlib.settings import T

PROFILE = load_profile("gpu")
DATA = PROFILE.data("softgel")
LARGE, SMALL = PROFILE.large_training(DATA), PROFILE.small_training(DATA)
#: Channels of x in the release's two configuration files, and what its nets come to, in millions.
RELEASE = {"large": (9, 125.4), "small": (6, 98.2)}


@pytest.mark.parametrize("training", [LARGE, SMALL], ids=["large", "small"])
def test_how_both_nets_are_trained(training):
    assert (training.data.size, training.batch, training.steps) == (256, 2, 160_000)
    assert (training.lr, training.weight_decay, training.ema) == (1e-4, 2e-3, 0.9999)
    assert {learning_rate(training, step) for step in (0, 1, 50_000, 159_999)} == {1e-4}
    assert training.mask_weight == 1  # plain mean squared error
    assert training.crop is None


def test_the_forward_process():
    config = schedule().config
    assert T == config.num_train_timesteps == 1000
    assert (config.beta_schedule, config.prediction_type) == ("squaredcos_cap_v2", "sample")


def test_the_nets():
    assert LARGE.net.channels == tuple(128 * multiplier for multiplier in (1, 1, 2, 2, 4, 4))
    assert (LARGE.net.blocks, LARGE.net.fold) == (2, 1)
    assert [2**level for level in LARGE.net.attention] == [8, 16, 32]  # downsampling where attention works
    small = meta("small")
    assert small.config.widths == tuple(192 * multiplier for multiplier in (1, 2, 4))
    assert (small.config.blocks, small.config.attention, small.config.middle) == (2, (), False)
    assert theoretical_field(small) == 157


# Parameters, counted from what the layers are -----------------------------------------------------------------------


def unet(channels, widths, blocks, attention=(), middle=False, scale_shift=False, join_lowest=True):
    """Weights and biases of a diffusion U-Net by kind of layer.

    Args:
        join_lowest: Whether the first residual block on the way up takes in the last features of the way down twice
            where no middle block lies between: as what it goes on from, and as what it is joined to.
    """
    count = Counter()
    embedded = 4 * widths[0]

    def convolution(i, o):
        count["convolution"] += 9 * i * o + o

    def residual(i, o):
        convolution(i, o)
        convolution(o, o)
        count["normalisation"] += 2 * i + 2 * o
        count["timestep"] += (embedded + 1) * o * (2 if scale_shift else 1)
        count["shortcut"] += i * o + o if i != o else 0

    def attend(level, c):
        if level in attention:
            count["attention"] += 4 * (c * c + c)  # query, key, value, output
            count["normalisation"] += 2 * c

    lowest = len(widths) - 1
    count["timestep"] += (widths[0] + 1) * embedded + (embedded + 1) * embedded
    convolution(channels, widths[0])
    c, skips = widths[0], [widths[0]]
    for level, width in enumerate(widths):
        for _ in range(blocks):
            residual(c, width)
            attend(level, width)
            c = width
            skips.append(c)
        if level < lowest:
            convolution(c, c)
            skips.append(c)
    if middle:
        residual(c, c)
        attend(lowest, c)
        residual(c, c)
    for level in reversed(range(len(widths))):
        for i in range(blocks + 1):
            skip = skips.pop()
            alone = level == lowest and i == 0 and not join_lowest
            residual(c + (0 if alone else skip), widths[level])
            attend(level, widths[level])
            c = widths[level]
        if level > 0:
            convolution(c, c)
    count["normalisation"] += 2 * c
    convolution(c, channels)
    return count


def by_kind(network):
    """The same of a real network."""
    count = Counter()
    for name, module in network.named_modules():
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if isinstance(module, nn.GroupNorm):
            count["normalisation"] += own
        elif isinstance(module, nn.Conv2d):
            count["convolution" if module.kernel_size == (3, 3) else "shortcut"] += own
        elif isinstance(module, nn.Linear):
            count["attention" if "attentions" in name else "timestep"] += own
        else:
            assert own == 0, name
    return count


def meta(kind):
    """The net of the profile without memory for its weights."""
    training = {"large": LARGE, "small": SMALL}[kind]
    with torch.device("meta"):
        return build_denoiser(training.net, RELEASE[kind][0], seed=0)


def shape(kind):
    config = meta(kind).config
    names = ("channels", "widths", "blocks", "attention", "middle", "scale_shift")
    return {name: config[name] for name in names}


@pytest.mark.parametrize("kind", RELEASE)
def test_every_kind_of_layer_has_the_parameters_that_the_formula_says(kind):
    assert +by_kind(meta(kind)) == +unet(**shape(kind))


def test_the_large_net_is_the_release_s():
    ours = sum(by_kind(meta("large")).values())
    assert ours == sum(unet(**shape("large")).values()) == 125_385_481
    assert round(ours / 1e6, 1) == RELEASE["large"][1]
    # Of which scaling by the timestep is what takes another output per feature in each residual block:
    without = sum(unet(**shape("large") | {"scale_shift": False}).values())
    assert ours - without == 5_121_792


def test_the_small_net_is_the_release_s_and_one_wider_block():
    ours, release = unet(**shape("small")), unet(**shape("small"), join_lowest=False)
    assert round(sum(release.values()) / 1e6, 1) == RELEASE["small"][1]
    width = 4 * 192
    assert dict(ours - release) == {
        "convolution": 9 * width * width,
        "shortcut": 2 * width * width + width,
        "normalisation": 2 * width,
    }
    assert sum(ours.values()) - sum(release.values()) == 6_490_368


def test_the_table_of_the_module_says_these_numbers():
    counts = [sum(by_kind(meta(kind)).values()) for kind in RELEASE]
    release = sum(unet(**shape("small"), join_lowest=False).values())
    for number in (*counts, release, counts[1] - release):
        assert f"{number:,}" in denoiser_module.__doc__
