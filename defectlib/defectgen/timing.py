"""How long sampling takes: every sampler and number of calls timed by turns in one run, beside the bare nets."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from defectlib import runtime
from defectlib.clock import accelerator, clocked, threads
from defectlib.data.folder import write_dataset
from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.defectgen.synthesis import assemble, sample_pairs
from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.device import autocast, generator
from defectlib.settings import Sampler, SamplerTiming, Synthesis
from defectlib.store import write_atomically

_BARE_CALLS = 10  # of each net in each round


def run(settings: SamplerTiming, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``timing.json``, and the pairs of each point as the dataset folder ``SAMPLER-CALLS``.

    ``points`` holds a record for each point: ``sampler``, ``calls``, ``large`` and ``small`` (calls of each net),
    ``seconds`` (one number for each round, for all ``pairs``). ``call_seconds`` holds, by net, every time that a bare
    call on as many pairs took.
    """
    like = load_train(settings.large.data)[0]
    pipeline = assemble(inputs["large"], inputs["small"], settings.device)
    sets = [_set(settings, *point) for point in settings.points]
    with threads(settings.threads):
        seconds, bare, pairs = _timed(pipeline, sets, settings.rounds, like.image.shape[0])
    points = []
    for one, taken, (images, masks) in zip(sets, seconds, pairs, strict=True):
        large, small = (len(part) for part in two_stage_timesteps(one.switch_step, one.num_inference_steps))
        points.append(
            {"sampler": one.sampler, "calls": large + small, "large": large, "small": small, "seconds": taken}
        )
        samples = (
            Sample(f"synthetic_{k:06}", image, mask, like.classes, like.product)
            for k, (image, mask) in enumerate(zip(images, masks, strict=True))
        )
        write_dataset(out / f"{one.sampler}-{one.num_inference_steps}", samples)
    values = {
        "pairs": settings.pairs,
        "accelerator": accelerator(pipeline.device),
        "points": points,
        "call_seconds": bare,
    }
    write_atomically(out / "timing.json", json.dumps(values, indent=1))


def _set(settings: SamplerTiming, sampler: Sampler, calls: int) -> Synthesis:
    """The pairs of one point; the first ones of any larger set that has these nets, this seed and this switch step."""
    values = {name: getattr(settings, name) for name in ("large", "small", "switch_step", "seed", "device", "dtype")}
    return Synthesis(**values, sampler=sampler, num_inference_steps=calls, count=settings.pairs)


def _timed(
    pipeline: DefectGenPipeline, sets: list[Synthesis], rounds: int, size: int
) -> tuple[list[list[float]], dict[str, list[float]], list[tuple]]:
    """Seconds of each set in each round, of bare calls by net, and the pairs.

    Whatever else slows the machine down for a while falls on all points, not on one: rounds go through the points
    forth and back by turns.
    """
    seconds, pairs, bare = [[] for _ in sets], [()] * len(sets), {"large": [], "small": []}
    indices = range(sets[0].count)
    for sampler in {one.sampler for one in sets}:  # what is slow only once
        sample_pairs(pipeline, sets[0].model_copy(update={"sampler": sampler, "num_inference_steps": 2}), indices, size)
    with runtime.progress(rounds * len(sets), "timing samplers", unit="set") as bar:
        for number in range(rounds):
            for net, taken in bare.items():
                taken += _bare_calls(pipeline, net, sets[0], size)
            for i in range(len(sets)) if number % 2 == 0 else reversed(range(len(sets))):
                started = time.perf_counter()
                pairs[i] = sample_pairs(pipeline, sets[i], indices, size)
                seconds[i].append(time.perf_counter() - started)
                bar.update()
    return seconds, bare, pairs


@torch.no_grad()
def _bare_calls(pipeline: DefectGenPipeline, net: str, like: Synthesis, size: int) -> list[float]:
    """Seconds that each call of a net takes on as many pairs as ``like`` has; the first call is not counted."""
    denoiser = getattr(pipeline, net)
    x = torch.randn((like.count, denoiser.config.channels, size, size), generator=generator(like.seed, "bare call")).to(
        pipeline.device
    )
    with autocast(pipeline.device, like.dtype):
        return [clocked(lambda: denoiser(x, 500), pipeline.device) for _ in range(_BARE_CALLS + 1)][1:]
