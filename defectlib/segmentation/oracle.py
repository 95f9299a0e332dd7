"""The oracle: a segmenter that knows one product of the procedural dataset better than any generator can.

Scenes of that dataset cost nothing, and their masks are exact. So a network can be trained on thousands of them, from a
split that no generator sees, and then be asked what it sees on a generated image: does the mask that was generated with
it fit? It is asked only if it is right often enough itself, which is measured on further scenes that it has not seen
(:data:`LEAST_MIOU`). On photographs there can be no such judge.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from defectlib import metrics, runtime
from defectlib.data import procedural
from defectlib.data.encode import stack, to_unit
from defectlib.data.sample import Sample
from defectlib.device import autocast, configure, generator
from defectlib.errors import unknown
from defectlib.segmentation.evaluation import predict, summarise
from defectlib.segmentation.models import parameter_count
from defectlib.segmentation.unet import UNet
from defectlib.settings import OracleTraining
from defectlib.store import UNFINISHED, write_atomically
from defectlib.training import make_steps
from defectlib.weights import load_weights, readable, save_weights

LEAST_MIOU = 0.9
"""Mean IoU on unseen scenes, background included, below which an oracle judges nothing."""
WEIGHTS = "model.safetensors"
SCORE = "score.json"
LOSSES = "losses.json"
_HEAVIEST_CLASS = 8.0
_EVEN_FROM = 0.6  # share of the training after which all pixels weigh the same
_FEW = 16  # images at a time
_LEAST_STD = 1e-3  # of a channel that is nearly always silent


class Oracle(nn.Module):
    """A small U-Net on raw pixels.

    Args:
        defect_types: K; there are K + 1 classes.
        width: Channels at full resolution.
        levels: Resolutions.
    """

    def __init__(self, defect_types: int, width: int, levels: int) -> None:
        super().__init__()
        self.net = UNet(defect_types + 1, width, levels)
        size = width * (2**levels - 1)  # channels of all levels together
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, float32 (N, K + 1, H, W), of ``images`` uint8 (N, 3, H, W)."""
        return self.net(_prepared(images)).float()

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """How strong each channel of the way down is on average over the image, from colours to whole objects.

        Each in units of its standard deviation over unseen scenes and from its mean there, else a few channels of the
        lowest level decide every distance.

        Args:
            images: uint8 (N, 3, H, W).

        Returns:
            float32 (N, D).
        """
        return (self._strengths(images) - self.mean) / self.std

    def standardise(self, images: torch.Tensor) -> None:
        """Take mean and standard deviation of the features from ``images`` uint8 (N, 3, H, W), of unseen scenes."""
        with torch.inference_mode():
            found = torch.cat([self._strengths(batch) for batch in images.split(_FEW)])
            self.mean.copy_(found.mean(dim=0))
            self.std.copy_(found.std(dim=0).clamp(min=_LEAST_STD))

    def _strengths(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([level.float().mean(dim=(2, 3)) for level in self.net.encode(_prepared(images))], dim=1)


def _prepared(images: torch.Tensor) -> torch.Tensor:
    return to_unit(images).contiguous(memory_format=torch.channels_last)


def run(settings: OracleTraining, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: writes the weights, the loss curve, and in ``score.json`` how well it sees scenes it has not seen.

    Raises:
        UserError: There is no such product, or the loss stopped being a number.
    """
    if settings.product not in procedural.PRODUCTS:
        raise unknown("product", settings.product, procedural.PRODUCTS)
    classes = procedural.PRODUCTS[settings.product].classes
    model, losses = fit(settings, classes, out / UNFINISHED)
    unseen = paint(settings, unseen=True)
    model.standardise(stack(unseen)[0])
    shape = {"width": settings.width, "levels": settings.levels, "parameters": parameter_count(model)}
    found = {"product": settings.product, "classes": list(classes), **shape, **score(model, unseen)}
    save_weights(out / WEIGHTS, model.state_dict(), settings.lr)
    write_atomically(out / LOSSES, json.dumps(losses))
    write_atomically(out / SCORE, json.dumps(found, indent=1))


def load(artifact: Path) -> Oracle:
    """The oracle of an artifact, in evaluation mode, float32, on the CPU.

    Raises:
        UserError: A file is missing, cut short or of another network.
    """
    with readable(artifact, "oracle"):
        card = read_score(artifact)
        model = Oracle(len(card["classes"]), card["width"], card["levels"])
        load_weights(model, artifact / WEIGHTS)
    return model.to(memory_format=torch.channels_last).eval()


def read_score(artifact: Path) -> dict:
    """What :func:`score` found of an oracle, and its shape."""
    return json.loads((artifact / SCORE).read_text())


def score(model: Oracle, scenes: Sequence[Sample]) -> dict:
    """How well ``model`` sees ``scenes``; see :func:`defectlib.segmentation.evaluation.summarise`."""
    preds = predict(model, [scene.image for scene in scenes])
    counts = metrics.image_counts([scene.mask for scene in scenes], preds, len(scenes[0].classes) + 1)
    return summarise(counts, [scene.key for scene in scenes], scenes[0].classes)


def paint(settings: OracleTraining, unseen: bool = False) -> list[Sample]:
    """The scenes that train the oracle, or those after them in the same split, which it does not see."""
    start, count = (settings.scenes, settings.unseen) if unseen else (0, settings.scenes)
    with runtime.progress(count, f"painting {settings.product}", unit="scene") as bar:
        scenes = []
        for index in range(start, start + count):
            scenes.append(procedural.sample(settings.product, "oracle", index, size=settings.size))
            bar.update()
    return scenes


def fit(settings: OracleTraining, classes: tuple[str, ...], unfinished: Path) -> tuple[Oracle, list[list[float]]]:
    """Train, going on from the checkpoint under ``unfinished`` if there is one; on the CPU to the same weights.

    AdamW and cross-entropy. Rare classes weigh more at first, else the net is long blind to them; from
    :data:`_EVEN_FROM` on every pixel weighs the same, else it would draw small defects too wide.

    Returns:
        The model in evaluation mode on the CPU, and its loss curve as [step, loss] pairs.

    Raises:
        UserError: The training diverged.
    """
    device = configure(settings.device)
    images, masks = (tensor.to(device) for tensor in stack(paint(settings)))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(runtime.child_seed(settings.seed, "init"))
        model = Oracle(len(classes), settings.width, settings.levels)
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    rarity = class_rarity(masks, len(classes) + 1)

    def step(k: int) -> float:
        done = k / settings.steps
        optimizer.param_groups[0]["lr"] = settings.lr * (1 + math.cos(math.pi * done)) / 2
        draw = generator(settings.seed, "batch", k)
        chosen = torch.randint(len(images), (settings.batch,), generator=draw).to(device)
        weights = rarity ** max(0.0, 1 - done / _EVEN_FROM)
        return _step(model, optimizer, images[chosen], masks[chosen].long(), weights, settings.dtype)

    losses = make_steps(model, optimizer, settings, step, f"the oracle of {settings.product}", unfinished)
    return model.cpu().eval(), losses


def class_rarity(masks: torch.Tensor, classes: int) -> torch.Tensor:
    """Square roots of how much rarer each class is than the mean, float32 (classes,), 8 at most.

    Args:
        masks: uint8 (N, H, W).
        classes: K + 1.
    """
    pixels = torch.bincount(masks.flatten(), minlength=classes).float()
    return (pixels.mean() / pixels).sqrt().clamp(max=_HEAVIEST_CLASS)


def _step(
    model: Oracle,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    dtype: str,
) -> float:
    with autocast(images.device, dtype):
        logits = model(images)
    loss = functional.cross_entropy(logits, target, weight=weights)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.item()
