"""How long a training step and a call of every network take on the machine at hand, and how many operations that is.

A step is that of the trainings themselves: batch, noise, forward, loss, backward, optimiser, averaged weights. What is
not timed are decoding and checkpoints. Weights are fresh: they do not change how long a network takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import AdamW

from defectlib import runtime
from defectlib.clock import accelerator, clocked, counted, threads
from defectlib.data.encode import channels, encode, stack
from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.training import reconstruction_loss
from defectlib.device import autocast, compiled, configure, generator, upload
from defectlib.segmentation.losses import class_weights, criterion
from defectlib.segmentation.models import build, spec
from defectlib.segmentation.training import Pool
from defectlib.settings import DenoiserTraining, Net, SegmenterTraining, T, Throughput
from defectlib.store import write_atomically

THROUGHPUT = "throughput.json"
WARM_UP = {"cpu": 1, "cuda": 3}
"""Goes before those that count: the first ones choose algorithms, compile, and fill the optimiser's state."""

STEP, CALL = "step", "call"
PASSES_OF_A_STEP = 3
"""A training step in forward passes: on the way back every product is undone towards its weights and its input.

torch counts a way back too, but that of a grouped convolution as if it had no groups, which is many times too much.
"""


@dataclass
class Timed:
    """What is timed.

    Attributes:
        about: ``network``, ``work`` (:data:`STEP` or :data:`CALL`), ``side`` in pixels, ``images`` at a time, and the
            floating-point ``operations`` of one go.
        go: One go.
        seconds: What each took.
    """

    about: dict[str, Any]
    go: Callable[[], object]
    seconds: list[float] = field(default_factory=list)


def run(settings: Throughput, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``throughput.json`` with ``accelerator`` and, as ``timed``, what :class:`Timed` has, one each.

    Raises:
        UserError: The data cannot be used, or the device is not there.
    """
    device = configure(settings.device)
    with threads(settings.threads), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        found = list(_warm(settings, device))
        with runtime.progress(settings.rounds, "timing networks", unit="round") as bar:
            for number in range(settings.rounds):  # forth and back: what slows the machine falls on all of them
                for timed in found if number % 2 == 0 else reversed(found):
                    timed.seconds.append(clocked(timed.go, device))
                bar.update()
    records = [{**timed.about, "seconds": timed.seconds} for timed in found]
    values = {"accelerator": accelerator(device), "timed": records}
    write_atomically(out / THROUGHPUT, json.dumps(values, indent=1))


def _warm(settings: Throughput, device: torch.device) -> Iterator[Timed]:
    every = [*settings.denoisers, *settings.segmenters]
    with runtime.progress(len(every), "preparing networks", unit="network") as bar:
        for training in every:
            samples = load_train(training.data)
            if isinstance(training, DenoiserTraining):
                both = _denoiser(training, samples, settings.pairs, device)
            else:
                both = _segmenter(training, samples, device)
            for timed in both:
                for _ in range(WARM_UP[device.type]):
                    timed.go()
                yield timed
            bar.update()


def _denoiser(
    settings: DenoiserTraining, samples: tuple[Sample, ...], pairs: int, device: torch.device
) -> tuple[Timed, Timed]:
    types, side, seed = len(samples[0].classes), samples[0].mask.shape[0], settings.seed
    x_0 = encode(*stack(samples), types).to(device)
    step, network = denoiser_step(settings, x_0, device)
    x_t = torch.randn((pairs, channels(types), side, side), generator=generator(seed, "bare call")).to(device)

    @torch.no_grad()
    def call() -> None:
        with autocast(device, settings.dtype):
            network(x_t, 500)

    each = operations_of_denoiser(settings.net, types, side)
    about = {"network": settings.net.kind, "side": side}
    trained = {"work": STEP, "images": settings.batch, "operations": PASSES_OF_A_STEP * each * settings.batch}
    called = {"work": CALL, "images": pairs, "operations": each * pairs}
    return Timed(about | trained, step), Timed(about | called, call)


def denoiser_step(
    settings: DenoiserTraining, x_0: torch.Tensor, device: torch.device
) -> tuple[Callable[[], None], torch.nn.Module]:
    """A step of :mod:`defectlib.defectgen.training`, each call the next one, and the net that it trains.

    Args:
        settings: Whose accumulation and processes do not count; the learning rate is constant.
        x_0: float (N, C, H, W), all training images, on ``device``.
        device: Where the net is.
    """
    from diffusers.training_utils import EMAModel  # which needs what defectlib.defectgen does before diffusers loads

    cuda, seed, noises = device.type == "cuda", settings.seed, schedule()
    net = build_denoiser(settings.net, x_0.shape[1], runtime.child_seed(seed, "init")).to(device).train()
    if cuda:
        net.to(memory_format=torch.channels_last)
    optimizer = AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    ema = EMAModel(net.parameters(), decay=settings.ema, foreach=cuda)
    network, numbers = compiled(net, device, settings.steps), count()

    def step() -> None:
        number = next(numbers)
        chosen = torch.randint(len(x_0), (settings.batch,), generator=generator(seed, "order", number))
        batch, noise = x_0[upload(chosen, device)], generator(seed, "noise", number)
        t = upload(torch.randint(T, (len(batch),), generator=noise), device)
        epsilon = upload(torch.randn(batch.shape, generator=noise), device)
        with autocast(device, settings.dtype):
            prediction = network(noises.add_noise(batch, epsilon, t), t)
        reconstruction_loss(prediction.float(), batch, settings.mask_weight).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        ema.step(net.parameters())

    return step, network


def _segmenter(settings: SegmenterTraining, samples: tuple[Sample, ...], device: torch.device) -> tuple[Timed, Timed]:
    types, side = len(samples[0].classes), samples[0].mask.shape[0]
    step, _ = segmenter_step(settings, samples, device)
    image = torch.from_numpy(samples[0].image).movedim(-1, 0)[None].contiguous().to(device)
    deployed = build(settings.model, types).to(device).eval()

    @torch.inference_mode()
    def call() -> None:
        with autocast(device, settings.dtype):
            deployed(image)

    each = [operations_of_segmenter(settings.model, types, side, training=training) for training in (True, False)]
    about = {"network": settings.model, "side": side}
    trained = {"work": STEP, "images": settings.batch, "operations": PASSES_OF_A_STEP * each[0] * settings.batch}
    return Timed(about | trained, step), Timed(about | {"work": CALL, "images": 1, "operations": each[1]}, call)


def segmenter_step(
    settings: SegmenterTraining, samples: tuple[Sample, ...], device: torch.device
) -> tuple[Callable[[], None], torch.nn.Module]:
    """A step of :mod:`defectlib.segmentation.training`, each call the next one, and the model that it trains.

    Args:
        settings: Whose learning rate is constant here.
        samples: All training images.
        device: Where the model is.
    """
    pool, outputs = Pool(samples, (), device), len(samples[0].classes) + 1
    seed = runtime.child_seed(settings.seed, "init")
    model = build(settings.model, outputs - 1, settings.pretrained, seed).to(device).train()
    optimizer = AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    weights = class_weights(pool.masks, outputs).to(device)
    loss = criterion(model, weights, spec(settings.model).auxiliary)
    heads, numbers = compiled(model.heads, device, settings.steps), count()

    def step() -> None:
        number = next(numbers)
        torch.manual_seed(runtime.child_seed(settings.seed, "dropout", number))
        images, target = pool.batch(settings, number)
        with autocast(device, settings.dtype):
            found = heads(images)
        value = loss(found, target)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        value.item()

    return step, model


@cache
def operations_of_denoiser(net: Net, defect_types: int, side: int) -> int:
    """Of one call on one image of ``side`` pixels. The net is never filled: one of any size costs no memory."""
    with FakeTensorMode():
        denoiser = build_denoiser(net, channels(defect_types), seed=0)
        return counted(lambda: denoiser(torch.empty(1, channels(defect_types), side, side), 0))


@cache
def operations_of_segmenter(name: str, defect_types: int, side: int, *, training: bool) -> int:
    """Of one image of ``side`` pixels; with ``training`` to all heads, also to those that serve training alone."""
    model = build(name, defect_types)
    if not training:
        return counted(lambda: model.eval()(torch.zeros(1, 3, side, side)))
    # One image alone is too few for batch normalisation.
    return counted(lambda: model.train().heads(torch.zeros(2, 3, side, side))) // 2
