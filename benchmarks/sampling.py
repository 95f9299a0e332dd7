"""Synthetic pairs per second: the default sampler, and the fewest calls of equal measures, against all 1000 calls.

The plain way is that of the release: the ancestral sampler, which calls a net at each of the 1000 timesteps, in fp32.
Notebook 10 has which sampler gives measures that cannot be told from its; nothing is measured of it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.harness import Finding, by_turns, devices, roofline
from defectlib.clock import clocked
from defectlib.data.encode import channels
from defectlib.data.loading import load_train
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.defectgen.synthesis import sample_pairs
from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.experiments import calls, throughput
from defectlib.experiments.calls import NetworkCalls, Point
from defectlib.plots import tables
from defectlib.profiles import Profile, load_profile
from defectlib.settings import Synthesis, T

GOAL, EQUAL = 25, "equal measures"
PAIRS = {"cpu": 4, "cuda": 25}
"""Sampled together."""
SHORT = 20
"""Calls of the plain sampler that every round times; all 1000 are run once."""


def run(tiny: bool) -> Iterator[Finding]:
    """Both ways on each device, the nets those of the profile for it; ``tiny`` takes the smallest nets."""
    for device in devices():
        profile = load_profile("smoke" if tiny else "cpu" if device.type == "cpu" else "gpu")
        yield from _compared(profile, device, tiny)


def _compared(profile: Profile, device: torch.device, tiny: bool) -> Iterator[Finding]:
    study = NetworkCalls(profile)
    settings = study.synthetic(study.reference).model_copy(update={"device": device.type})
    most = 2 * SHORT if tiny else T
    plain = settings.model_copy(update={"sampler": "ddpm", "num_inference_steps": SHORT, "dtype": "fp32"})
    whole = plain.model_copy(update={"num_inference_steps": most})
    pairs, size = 1 if tiny else PAIRS[device.type], load_train(study.data)[0].image.shape[0]
    ours = {
        case: settings.model_copy(update={"sampler": point.sampler, "num_inference_steps": min(point.calls, most)})
        for case, point in _points(profile).items()
    }
    nets = pipeline(settings, device)
    go = partial(sample_pairs, indices=range(pairs), size=size)
    ways = {case: partial(go, nets, one) for case, one in ours.items()} | {"plain": partial(go, nets, plain)}
    seconds = by_turns(ways, 2 if tiny else 5, device)
    factor = whole.num_inference_steps / SHORT
    took = clocked(partial(go, nets, whole), device)
    said = f"{SHORT} calls of the plain way in each round, times {factor:g}; one run of all took "
    for case, one in ours.items():
        scaled = [factor * value / pairs for value in seconds["plain"]]
        yield Finding(
            "sampling",
            f"{case}, {size} px",
            "pair",
            f"{calls.Point(one.sampler, one.num_inference_steps).name}, {one.dtype}",
            [value / pairs for value in seconds[case]],
            f"{calls.Point(whole.sampler, whole.num_inference_steps).name}, fp32",
            scaled,
            floor=roofline(*work(one, size), device, one.dtype),
            goal=GOAL if case == EQUAL else None,
            device=device.type,
            note=f"{pairs} at a time; {said}{took / pairs:.3g} s a pair",
        )


def _points(profile: Profile) -> dict[str, Point]:
    """Whose speed is asked: the profile's sampler, and the fewest reference calls that lose nothing."""
    asked = {"default": Point(profile.sampler, profile.num_inference_steps)}
    record = tables.record("network_calls_softgel_64px")
    if record is not None:
        asked[EQUAL] = calls.choice(record, Point("ddpm", T))
    return asked


def pipeline(settings: Synthesis, device: torch.device) -> DefectGenPipeline:
    """Both nets with fresh weights: these do not change how long a call takes."""
    types = channels(len(load_train(settings.data)[0].classes))
    nets = (build_denoiser(net, types, 0).eval() for net in (settings.large.net, settings.small.net))
    made = DefectGenPipeline(*nets, schedule())
    made.set_progress_bar_config(disable=True)
    return made.to(device)


def work(settings: Synthesis, size: int) -> tuple[float, float]:
    """Floating-point operations for one pair, and the bytes that go through the nets' first and last layers."""
    types = len(load_train(settings.data)[0].classes)
    counts = map(len, two_stage_timesteps(settings.switch_step, settings.num_inference_steps))
    nets = (settings.large.net, settings.small.net)
    done = sum(n * throughput.operations_of_denoiser(net, types, size) for n, net in zip(counts, nets, strict=True))
    return done, settings.num_inference_steps * 2 * 4 * channels(types) * size**2
