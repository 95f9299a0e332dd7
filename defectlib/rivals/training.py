"""Training of another generator: the stage, whatever the method; each module has ``build``, ``train`` and ``sample``.

The nets of a method, and all that it samples from, are the state of one module: one safetensors file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from defectlib.data.encode import encode, stack
from defectlib.data.loading import load_good, load_train
from defectlib.data.sample import Sample
from defectlib.errors import UserError
from defectlib.settings import Data, RivalMethod, RivalTraining
from defectlib.store import UNFINISHED, write_atomically
from defectlib.weights import read_weights, readable, save_weights

WEIGHTS, CONFIG, LOSSES = "net.safetensors", "config.json", "losses.json"
#: How the names of what samples begin in a module's state. The rest, critics and the way back, only trains.
SAMPLES: dict[RivalMethod, tuple[str, ...]] = {
    "SinGAN": ("generators.", "fixed_noise", "amplitudes"),
    "CycleGAN": ("to_defective.",),
}


def method(name: RivalMethod) -> ModuleType:
    """The module of a method."""
    return import_module(f"defectlib.rivals.{name.lower()}")


def run(settings: RivalTraining, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: leaves ``net.safetensors``, ``config.json`` and ``losses.json`` in ``out``."""
    x, good = trained_on(settings)
    module = method(settings.method).build(settings, x.shape[1], x.shape[-1])
    losses = method(settings.method).train(module, settings, x, good, out / UNFINISHED)
    save_weights(out / WEIGHTS, _sampling(settings, module), settings.lr)
    write_atomically(out / CONFIG, json.dumps({"channels": x.shape[1], "size": x.shape[-1]}))
    write_atomically(out / LOSSES, json.dumps(losses))


def trained_on(settings: RivalTraining) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What a method is given: all training pairs, and for CycleGAN images without defects, as many as it learns from.

    Returns:
        Both float (N, C, H, H) in [-1, 1].

    Raises:
        UserError: The images are not squares of one size, or there is none without a defect.
    """
    pairs = load_train(settings.data)
    if len(sizes := {pair.mask.shape for pair in pairs}) > 1 or len(set(pairs[0].mask.shape)) > 1:
        listed = ", ".join(f"{height}×{width}" for height, width in sorted(sizes))
        raise UserError(f"{settings.method} needs square images of one size; those of {pairs[0].product} are {listed}")
    count = len(pairs) if settings.image is None else 1
    return encoded(pairs), good_pairs(settings.method, settings.data, settings.image or 0, count)


def good_pairs(name: RivalMethod, data: Data, first: int, count: int) -> torch.Tensor | None:
    """Images without defects, float (N, C, H, H) in [-1, 1], from number ``first`` on; None where none are needed."""
    return encoded(load_good(data, first, count)) if name == "CycleGAN" else None


def encoded(samples: tuple[Sample, ...]) -> torch.Tensor:
    """Pairs as the nets take them, float (N, 3 + K + 1, H, W) in [-1, 1]."""
    return encode(*stack(samples), len(samples[0].classes))


def load_rival(settings: RivalTraining, artifact: Path) -> nn.Module:
    """What samples of a finished training, on the CPU in evaluation mode; what was rounded for shipping is float32.

    Raises:
        UserError: A file is missing, cut short or of another network.
    """
    with readable(artifact, settings.method):
        config = json.loads((artifact / CONFIG).read_text())
        module = method(settings.method).build(settings, config["channels"], config["size"])
        state = read_weights(artifact / WEIGHTS)
        if _shapes(state) != _shapes(_sampling(settings, module)):
            raise ValueError(f"{WEIGHTS} holds the weights of another network")
        module.load_state_dict(state, strict=False)  # copies into the module's own types
    return module.eval()


def _sampling(settings: RivalTraining, module: nn.Module) -> dict[str, torch.Tensor]:
    """The part of the state that samples."""
    state = module.state_dict()
    return {name: value for name, value in state.items() if name.startswith(SAMPLES[settings.method])}


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
