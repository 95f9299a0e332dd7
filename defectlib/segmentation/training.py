"""Training a baseline on real pairs, and on synthetic ones too where there are any (paper §4.1, §4.4).

AdamW under the poly rule, cross-entropy plus Dice. The paper gives no recipe; this one is the same for every model and
for both arms of a comparison, and with and without synthetic pairs the number of steps is the same.

What a batch holds: each place has a stratum, one per defect type (and one for defect-free images, if there are any),
strata taking turns, so that rare types are seen as often as common ones; the image is drawn evenly within its stratum.
With R real and S synthetic pairs, a place is a synthetic one's with frequency min(1/2, S / (R + S)): natural
proportions, but at least half of all images seen are real, however many synthetic ones there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from defectlib import runtime
from defectlib.data import folder, loading
from defectlib.data.mapped import defect_pixels
from defectlib.data.pixels import MAX_CLASSES
from defectlib.data.sample import Sample
from defectlib.device import autocast, compiled, configure, generator
from defectlib.errors import UserError, shown
from defectlib.reading import read_json
from defectlib.segmentation.augment import augment, check_one_size
from defectlib.segmentation.losses import class_weights, criterion
from defectlib.segmentation.models import Segmenter, build, parameter_count, spec
from defectlib.settings import SegmenterTraining, Synthesis
from defectlib.store import UNFINISHED, write_atomically
from defectlib.training import LOSS_POINTS, make_steps
from defectlib.weights import load_weights, readable, save_weights

WEIGHTS = "model.safetensors"
CARD = "model.json"
LOSSES = "losses.json"
POLY_POWER = 0.9


def run(settings: SegmenterTraining, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: writes the weights (float32), the model's card and the loss curve into ``out``.

    Args:
        settings: What to train.
        inputs: ``synthetic``, a folder in the one dataset layout, where the settings have one.
        out: The artifact being made; checkpoints go below its ``unfinished/``.

    Raises:
        UserError: The model or the data cannot be used, or the training diverged.
    """
    spec(settings.model)
    real = loading.load_train(settings.data)[:: settings.every]
    classes = real[0].classes
    synthetic = _read_synthetic(inputs["synthetic"] / Synthesis.dataset, classes) if "synthetic" in inputs else ()
    synthetic = synthetic[: settings.pairs]
    model, losses = fit(settings, real, synthetic, classes, out / UNFINISHED)
    card = {
        "model": settings.model,
        "classes": list(classes),
        "defect_types": len(classes),
        "parameters": parameter_count(model),
        "steps": settings.steps,
        "real": len(real),
        "synthetic": len(synthetic),
    }
    save_weights(out / WEIGHTS, model.state_dict(), settings.lr)
    write_atomically(out / LOSSES, json.dumps(losses))
    write_atomically(out / CARD, json.dumps(card, indent=1))


def load(artifact: Path) -> Segmenter:
    """The trained model of a segmenter artifact, in evaluation mode, on the CPU.

    Raises:
        UserError: A file is missing, cut short or of another model.
    """
    with readable(artifact, "segmenter"):
        card = read_card(artifact)
        model = build(card["model"], card["defect_types"])
        load_weights(model, artifact / WEIGHTS)
    return model.eval()


def read_card(artifact: Path) -> dict[str, Any]:
    """What a segmenter artifact says of its model.

    Raises:
        UserError: It cannot be read, or does not name a model and the classes that it knows.
    """
    advice = "delete the folder and train again"
    card = read_json(artifact / CARD, advice)
    classes = card.get("classes") if isinstance(card, dict) else None
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not named or not 1 <= len(classes) <= MAX_CLASSES or card.get("defect_types") != len(classes):
        wanted = f"'classes', 1 to {MAX_CLASSES} names, and 'defect_types', how many they are"
        raise UserError(f"{artifact / CARD}: does not say {wanted}; {advice}")
    if not isinstance(card.get("model"), str):
        raise UserError(f"{artifact / CARD}: 'model' must be a name, found {shown(card.get('model'))}; {advice}")
    return card


def fit(
    settings: SegmenterTraining,
    real: Sequence[Sample],
    synthetic: Sequence[Sample],
    classes: Sequence[str],
    unfinished: Path,
) -> tuple[Segmenter, list[list[float]]]:
    """Train, going on from the checkpoint under ``unfinished`` if there is one; on the CPU to the same weights.

    Returns:
        The model in evaluation mode on the CPU, and its loss curve as [step, loss] pairs.

    Raises:
        UserError: The images differ in size and no crop is set, or the training diverged.
    """
    device = configure(settings.device)
    pool = Pool(real, synthetic, device)
    if settings.crop is None or not settings.augmented:
        check_one_size(pool.masks)
    model = build(settings.model, len(classes), settings.pretrained, runtime.child_seed(settings.seed, "init"))
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    weights = class_weights(pool.masks[: len(real)], len(classes) + 1).to(device)
    loss = criterion(model, weights, spec(settings.model).auxiliary)
    heads = compiled(model.heads, device, settings.steps)

    def step(k: int) -> float:
        # Dropout draws from torch's global generator: seeding it at each step leaves nothing to be saved.
        torch.manual_seed(runtime.child_seed(settings.seed, "dropout", k))
        optimizer.param_groups[0]["lr"] = poly(settings.lr, k, settings.steps)
        return _step(heads, optimizer, loss, pool.batch(settings, k), settings.dtype)

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        losses = make_steps(model, optimizer, settings, step, settings.model, unfinished, LOSS_POINTS)
    return model.cpu().eval(), losses


def _step(
    heads: Callable[[torch.Tensor], list],
    optimizer: torch.optim.Optimizer,
    criterion: Callable[..., torch.Tensor],
    batch: tuple[torch.Tensor, torch.Tensor],
    dtype: str,
) -> float:
    images, target = batch
    with autocast(images.device, dtype):
        outputs = heads(images)
    loss = criterion(outputs, target)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.item()


def poly(lr: float, step: int, steps: int) -> float:
    """The learning rate of ``step``, falling from ``lr`` to zero: lr (1 - step / steps)^0.9."""
    return lr * (1 - step / steps) ** POLY_POWER


# Batches ------------------------------------------------------------------------------------------------------------


@dataclass
class Stratum:
    """The pairs of one defect type (0: without defects), as indices into a :class:`Pool`."""

    kind: int
    members: list[int]


class Pool:
    """All training pairs, read where they lie and not copied: the real ones first, then the synthetic.

    Attributes:
        images: uint8 (3, H, W) each, on the CPU.
        masks: uint8 (H, W) each, likewise.
        device: Where batches go.
    """

    def __init__(self, real: Sequence[Sample], synthetic: Sequence[Sample], device: torch.device) -> None:
        samples, self.device = [*real, *synthetic], device
        self.images = [torch.from_numpy(sample.image).movedim(-1, 0) for sample in samples]
        self.masks = [torch.from_numpy(sample.mask) for sample in samples]
        self.synthetic_share = min(0.5, len(synthetic) / len(samples))
        pixels = defect_pixels([sample.mask for sample in samples], len(samples[0].classes))
        #: Pixels (P, 2) of a type, by type and index of the pair.
        self._pixels = {kind: {i: parts[0] for i, parts in shown} for kind, shown in pixels.items()}
        self._real = self._strata(range(len(real)))
        self._synthetic = self._strata(range(len(real), len(samples)))

    def _strata(self, side: range) -> list[Stratum]:
        """The pairs by defect type; one with several types is in several strata."""
        typed = {kind: [i for i in shown if i in side] for kind, shown in self._pixels.items()}
        plain = {0: sorted(set(side).difference(*typed.values()))}
        return [Stratum(kind, members) for kind, members in (plain | typed).items() if members]

    def batch(self, settings: SegmenterTraining, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images float32 (N, 3, h, w) in [0, 255] and masks int64 (N, h, w) of ``step``; the same at each call."""
        draw = generator(settings.seed, "batch", step)
        pairs = []
        for place in range(step * settings.batch, (step + 1) * settings.batch):
            index, kind = self.draw(place, draw)
            pair = self.images[index], self.masks[index]
            focus = self._pixels.get(kind, {}).get(index, ())
            pairs.append(augment(*pair, settings.crop, focus, draw, self.device) if settings.augmented else pair)
        images, masks = (torch.stack(parts).to(self.device) for parts in zip(*pairs, strict=True))
        return images.float().contiguous(), masks.long()

    def draw(self, place: int, draw: torch.Generator) -> tuple[int, int]:
        """Index of the pair at a place, counted from the first step on, and the class it was drawn for."""
        # The number of synthetic pairs before a place is the share of the places before it, rounded down.
        before, after = (math.floor(self.synthetic_share * count) for count in (place, place + 1))
        strata, turn = (self._synthetic, before) if after > before else (self._real, place - before)
        stratum = strata[turn % len(strata)]
        chosen = int(torch.randint(len(stratum.members), (), generator=draw))
        return stratum.members[chosen], stratum.kind


def _read_synthetic(root: Path, classes: tuple[str, ...]) -> tuple[Sample, ...]:
    if (named := folder.read_classes(root)) != classes:
        raise UserError(f"{root}: its classes are {', '.join(named)}, those of the real images {', '.join(classes)}")
    return folder.read_dataset(root)
