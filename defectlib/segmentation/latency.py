"""How long a baseline takes for one image (paper Table 2): as trained, optimised for the device, and in ONNX Runtime.

Timed is the way from raw pixels on the device to logits on the device, batch 1, after warm-up and with the device
waited for; not decoding, not copying. Weights are fresh: they do not change how long a network takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from defectlib import runtime
from defectlib.clock import accelerator, clocked, counted, threads
from defectlib.data.loading import load_train
from defectlib.device import configure
from defectlib.errors import UserError
from defectlib.segmentation import export, optimise
from defectlib.segmentation.models import Segmenter, build
from defectlib.settings import SegmenterTiming
from defectlib.store import write_atomically

LATENCY = "latency.json"
WARM_UP = 3
"""Calls before those that count: the first ones choose algorithms, compile, and record the CUDA graph."""
EXPOSURES = (1.0, 0.8, 0.6, 0.4)
"""Brightness of the copies of the image that the statistics of batch normalisation are taken from."""


@dataclass
class Way:
    """One way to run a model.

    Attributes:
        about: What is known beside the times, for the record.
        work: One call; None where there is no such way, ``about["reason"]`` then says why.
        device: What has to be waited for.
        seconds: What the calls took.
    """

    about: dict[str, Any]
    work: Callable[[], object] | None
    device: torch.device
    seconds: list[float] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As it is written."""
        return {**self.about, "seconds": self.seconds}


def run(settings: SegmenterTiming, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``latency.json``, with a record for each model.

    A record holds ``model``, ``parameters`` and ``multiply_adds`` (see :func:`cost`), and ``ways``: for each of
    ``eager``, ``optimised`` and ``onnx`` the ``seconds`` of every round; for the last two also ``difference`` from
    eager (see :func:`defectlib.segmentation.optimise.difference`) and whether it is ``within`` the tolerance; for
    ``optimised`` what was ``done``. A way that a model does not have has no seconds, and says for what ``reason``.

    Raises:
        UserError: The data cannot be used, or the device is not there.
    """
    device = configure(settings.device)
    sample = load_train(settings.data)[0]
    image = torch.from_numpy(sample.image).movedim(-1, 0)[None].contiguous()
    with threads(settings.threads), torch.inference_mode():
        records, ways = [], []
        with runtime.progress(len(settings.models), "preparing models", unit="model") as bar:
            for name in settings.models:
                model = settled(build(name, len(sample.classes), seed=settings.seed), image)
                found = _ways(model, image, settings, device)
                records.append({"model": name, **cost(model, image), "ways": found})
                ways += [way for way in found.values() if way.work]
                bar.update()
        _time(ways, settings.rounds)
    for record in records:
        record["ways"] = {name: way.record() for name, way in record["ways"].items()}
    values = {"accelerator": accelerator(device), "sides": list(image.shape[-2:]), "outputs": len(sample.classes) + 1}
    write_atomically(out / LATENCY, json.dumps(values | {"models": records}, indent=1))


def settled(model: Segmenter, image: torch.Tensor) -> Segmenter:
    """The model in evaluation mode, with the batch normalisation statistics that ``image`` (1, 3, H, W) gives.

    Fresh statistics are 0 and 1: to fold those would prove nothing. Where a layer averages over the whole image, equal
    copies would give it no variance, and rounding would be blown up to the size of a signal; so copies are darkened.
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = None  # the statistics are the mean over all batches, here one
    with torch.no_grad():
        model(torch.cat([image.float() * share for share in EXPOSURES]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
    return model


def cost(model: Segmenter, image: torch.Tensor) -> dict[str, int]:
    """What one prediction for ``image`` (1, 3, H, W) takes, whatever the machine; model and image on the CPU.

    Returns:
        ``parameters``: scalars that are read, so without those of heads that only serve training.
        ``multiply_adds``: of convolutions and matrix products, which is what papers count; element-wise work is not.
    """
    multiply_adds = counted(lambda: model(image)) // 2
    return {"parameters": optimise.parameters_read(model, image), "multiply_adds": multiply_adds}


def _ways(model: Segmenter, image: torch.Tensor, settings: SegmenterTiming, device: torch.device) -> dict[str, Way]:
    """Every way to run ``model``, warm."""
    onnx = _onnx(model, image, settings.threads)
    eager, shown = model.to(device), image.to(device)
    faster, done, dtype = optimise.optimise(eager, shown, settings.dtype)
    about = {"done": done} | _compared(optimise.difference(faster(shown), eager(shown)), dtype)
    ways = {
        "eager": Way({}, lambda: eager(shown), device),
        "optimised": Way(about, lambda: faster(shown), device),
        "onnx": onnx,
    }
    for way in ways.values():
        for _ in range(WARM_UP if way.work else 0):
            way.work()
    return ways


def _onnx(model: Segmenter, image: torch.Tensor, count: int) -> Way:
    """ONNX Runtime on ``count`` threads of the CPU, whatever the device: it is for machines without a GPU."""
    cpu = torch.device("cpu")
    try:
        session = export.session(export.to_onnx(model, *image.shape[-2:]), count)
    except UserError as error:
        return Way({"reason": str(error)}, None, cpu)
    feed = {export.INPUT: image.numpy()}
    found = _compared(export.difference(session, model, image), "fp32")
    return Way(found, lambda: session.run([export.OUTPUT], feed), cpu)


def _compared(found: dict[str, float], dtype: str) -> dict[str, Any]:
    return {"difference": found, "within": optimise.within(found, dtype)}


def _time(ways: list[Way], rounds: int) -> None:
    """Call every way once in each round, forth and back by turns: what slows the machine falls on all of them."""
    with runtime.progress(rounds, "timing models", unit="round") as bar:
        for number in range(rounds):
            for way in ways if number % 2 == 0 else reversed(ways):
                way.seconds.append(clocked(way.work, way.device))
            bar.update()
