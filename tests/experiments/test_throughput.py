"""Operations in closed form; steps that are those of the trainings; what the stage writes."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from defectlib.clock import counted
from defectlib.data.encode import channels, encode, stack
from defectlib.data.loading import load_train
from defectlib.defectgen import training
from defectlib.experiments import throughput
from defectlib.experiments.cost import Cost
from defectlib.segmentation import training as segmentation
from defectlib.settings import LargeNet, SmallNet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def timed(smoke, store):
    study = Cost(smoke, store=store)
    study.build()
    return json.loads((study.path(study.throughput) / "throughput.json").read_text())


def test_operations_of_a_convolution_are_two_for_each_multiply_add():
    layer = nn.Conv2d(3, 5, 3, padding=1)
    found = counted(lambda: layer(torch.zeros(2, 3, 8, 16)))
    assert found == 2 * 2 * (8 * 16) * 5 * 3 * 3 * 3


def test_three_forward_passes_are_what_torch_counts_of_a_step_without_grouped_convolutions():
    layers = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(40)))
    images = torch.zeros(1, 8, 16, 16)
    forward = counted(lambda: layers(images))
    with FlopCounterMode(display=False) as counter:
        layers(images).sum().backward()
    # The first layer has no gradient of its input.
    assert counter.get_total_flops() == pytest.approx(throughput.PASSES_OF_A_STEP * forward - forward / 40)


def test_attention_is_counted():
    def attend(query, key, value):
        return nn.functional.scaled_dot_product_attention(query, key, value)

    tensors = [torch.zeros(1, 1, 10, 4) for _ in range(3)]
    assert counted(lambda: attend(*tensors)) == 2 * 2 * 10 * 10 * 4


@pytest.mark.parametrize("net", [LargeNet(channels=(8, 16), attention=(1,)), SmallNet(receptive_field=17, channels=8)])
def test_a_net_that_is_never_filled_has_the_operations_of_a_real_one(net):
    before = torch.get_rng_state()
    found = throughput.operations_of_denoiser(net, 3, 32)
    assert torch.equal(before, torch.get_rng_state())
    real = training.build_denoiser(net, channels(3), 0)
    assert found == counted(lambda: real(torch.zeros(1, channels(3), 32, 32), 0)) > 0


def test_training_heads_are_counted_in_steps_alone():
    assert throughput.operations_of_segmenter("Bise", 2, 32, training=True) > throughput.operations_of_segmenter(
        "Bise", 2, 32, training=False
    )
    assert throughput.operations_of_segmenter("UNet", 2, 32, training=True) == throughput.operations_of_segmenter(
        "UNet", 2, 32, training=False
    )


def test_the_number_of_defect_types_hardly_matters():
    few, many = (throughput.operations_of_segmenter("M-B0", types, 32, training=True) for types in (2, 8))
    assert 1 < many / few < 1.01


def test_steps_of_a_denoiser_are_those_of_its_training(smoke, tmp_path):
    settings = smoke.small_training(smoke.data("softgel")).model_copy(update={"steps": 2, "lr_schedule": "constant"})
    samples = load_train(settings.data)
    step, net = throughput.denoiser_step(settings, encode(*stack(samples), len(samples[0].classes)), CPU)
    step(), step()
    # What a training gives has averaged weights; those that it averaged are in its checkpoint.
    batches = training._Batches(settings, samples, CPU)
    state = training._start(settings, batches, CPU, training.Team(), base=None)
    for _ in range(2):
        training._step(settings, state, batches, training.Team())
    theirs = state.denoiser.state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in net.state_dict().items())


def test_the_first_step_of_a_baseline_is_that_of_its_training(smoke, tmp_path):
    settings = smoke.evaluation(smoke.data("softgel"), "UNet").segmenter.model_copy(update={"steps": 1})
    samples = load_train(settings.data)
    with torch.random.fork_rng(devices=[]):
        step, model = throughput.segmenter_step(settings, samples, CPU)
        step()
    theirs = segmentation.fit(settings, samples, (), samples[0].classes, tmp_path)[0].state_dict()
    assert all(torch.equal(weight, theirs[name]) for name, weight in model.state_dict().items())


def test_the_stage_times_a_step_and_a_call_of_each_network(timed, smoke):
    networks = ["large", "small", *smoke.speed.models]
    assert [(each["network"], each["work"]) for each in timed["timed"]] == [
        (network, work) for network in networks for work in ("step", "call")
    ]
    assert all(len(each["seconds"]) == 3 and min(each["seconds"]) > 0 for each in timed["timed"])
    assert timed["accelerator"] == ""


def test_operations_are_of_all_images_of_a_go(timed, smoke):
    types = len(load_train(smoke.data("softgel"))[0].classes)
    each = throughput.operations_of_denoiser(smoke.large_net, types, smoke.size)
    step, call = timed["timed"][:2]
    batch = smoke.large_training(smoke.data("softgel")).batch
    assert (step["images"], step["operations"]) == (batch, 3 * each * batch)
    assert (call["images"], call["operations"]) == (batch, each * batch)
