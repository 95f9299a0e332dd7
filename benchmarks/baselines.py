"""One image through each of the eight baselines: made ready for the device against as trained, layer by layer.

A model counts as fast only where its outputs are those of eager within the tolerance of
:mod:`defectlib.segmentation.optimise`; one whose outputs are not counts with a ratio of 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.harness import Finding, by_turns, devices, geometric_mean, roofline
from defectlib.data.loading import load_train
from defectlib.device import configure
from defectlib.profiles import load_profile
from defectlib.segmentation import latency, optimise
from defectlib.segmentation.models import build
from defectlib.settings import SegmenterTiming

GOAL = 1.5
ROUNDS = 9


def run(tiny: bool) -> Iterator[Finding]:
    """The models of the profile on each device, then their geometric mean."""
    for device in map(configure, (device.type for device in devices())):
        profile = load_profile("smoke" if tiny else "cpu" if device.type == "cpu" else "gpu")
        settings = profile.segmenter_timing("softgel")
        with torch.inference_mode():
            found = [_compared(name, settings, device, 2 if tiny else ROUNDS) for name in settings.models]
        yield from found
        ratios = [one.ratios for one in found]
        yield Finding(
            "baselines",
            "geometric mean",
            "image",
            f"optimised, {settings.dtype}",
            (),
            "eager, fp32",
            ratios=geometric_mean(ratios),
            goal=GOAL,
            device=device.type,
            note="round by round over all models",
        )


def _compared(name: str, settings: SegmenterTiming, device: torch.device, rounds: int) -> Finding:
    sample = load_train(settings.data)[0]
    image = torch.from_numpy(sample.image).movedim(-1, 0)[None].contiguous()
    model = latency.settled(build(name, len(sample.classes), seed=settings.seed), image)
    cost = latency.cost(model, image)
    model, image = model.to(device), image.to(device)
    faster, done, dtype = optimise.optimise(model, image, settings.dtype)
    within = optimise.within(optimise.difference(faster(image), model(image)), dtype)
    ways = {"ours": lambda: faster(image), "plain": lambda: model(image)}
    seconds = by_turns(ways, rounds, device, warm_up=latency.WARM_UP)
    ratios = [plain / ours if within else 1.0 for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
    width = 2 if dtype == "bf16" else 4  # bytes of a weight
    return Finding(
        "baselines",
        f"{name}, {image.shape[-1]} px",
        "image",
        "; ".join(done),
        seconds["ours"],
        "eager, fp32",
        seconds["plain"],
        ratios=ratios,
        floor=roofline(2 * cost["multiply_adds"], width * cost["parameters"], device, dtype),
        device=device.type,
        note="" if within else "outputs beyond the tolerance: counted as 1",
    )
