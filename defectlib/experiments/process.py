"""The diffusion process as pictures: an image into noise, and noise into an image (paper Fig. 4). Loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from defectlib.data.encode import decode, encode, stack
from defectlib.data.sample import Sample
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.defectgen.synthesis import assemble, sample_pairs
from defectlib.device import generator
from defectlib.experiments.calls import NetworkCalls
from defectlib.experiments.generation import SwitchStep
from defectlib.settings import Sampler


@dataclass(frozen=True, eq=False)
class Process:
    """One reverse process.

    Attributes:
        frames: uint8 (H, W, 3): x_t as a net was given it, at ``timesteps``.
        predictions: uint8 (H, W, 3): the x_0 that the net made of it.
        timesteps: t of each frame, descending.
        large_timesteps: Every t at which the large net was called.
        small_timesteps: Every t at which the small net was called.
        result: uint8 (H, W, 3), the final image.
        mask: uint8 (H, W), the final mask.
    """

    frames: tuple[np.ndarray, ...]
    predictions: tuple[np.ndarray, ...]
    timesteps: tuple[int, ...]
    large_timesteps: tuple[int, ...]
    small_timesteps: tuple[int, ...]
    result: np.ndarray
    mask: np.ndarray


def reverse_process(study: SwitchStep, index: int = 0, shown: int = 8) -> Process:
    """Pair ``index`` of the study's synthetic set at the profile's switch step, ``shown`` frames of it."""
    pipeline, settings = pipeline_of(study), study.synthetic(study.profile.switch_step)
    seen: list[tuple[int, np.ndarray, np.ndarray]] = []
    out = pipeline(
        study.data.size,
        [generator(settings.seed, "pair", index)],
        settings.switch_step,
        settings.num_inference_steps,
        settings.sampler,
        callback=lambda t, x_t, x_0: seen.append((t, _image(x_t), _image(x_0))),
    )
    chosen = [seen[i] for i in np.unique(np.linspace(0, len(seen) - 1, shown).round().astype(int))]
    images, masks = decode(out.x.cpu())
    return Process(
        frames=tuple(x_t for _, x_t, _ in chosen),
        predictions=tuple(x_0 for *_, x_0 in chosen),
        timesteps=tuple(t for t, *_ in chosen),
        large_timesteps=tuple(out.large_timesteps),
        small_timesteps=tuple(out.small_timesteps),
        result=images[0].movedim(0, -1).numpy(),
        mask=masks[0].numpy(),
    )


def forward_process(sample: Sample, timesteps: Sequence[int], seed: int = 0) -> list[np.ndarray]:
    """q(x_t | x_0) of one pair at each of ``timesteps``, from one noise: images uint8 (H, W, 3)."""
    x_0 = encode(*stack([sample]), len(sample.classes))
    epsilon = torch.randn(x_0.shape, generator=generator(seed, "forward"))
    return [_image(schedule().add_noise(x_0, epsilon, torch.tensor([t]))) for t in timesteps]


def pipeline_of(study: SwitchStep) -> DefectGenPipeline:
    """The pipeline of the study's two nets."""
    settings = study.synthetic(study.profile.switch_step)
    return assemble(study.path(settings.large), study.path(settings.small), settings.device)


def visited(study: NetworkCalls, sampler: Sampler, calls: int, switch_step: int) -> tuple[list[int], list[int]]:
    """The timesteps at which the large and the small net are called while one pair is drawn, as the nets see them."""
    point = study.synthetic(study.reference).model_copy(
        update={"sampler": sampler, "num_inference_steps": calls, "switch_step": switch_step}
    )
    pipeline = assemble(study.path(point.large), study.path(point.small), point.device)
    seen: dict[str, list[int]] = {"large": [], "small": []}
    for net, timesteps in seen.items():
        hook = lambda _, arguments, timesteps=timesteps: timesteps.append(int(arguments[1]))  # noqa: E731
        getattr(pipeline, net).register_forward_pre_hook(hook)
    sample_pairs(pipeline, point, range(1), study.data.size)
    return seen["large"], seen["small"]


def _image(x: torch.Tensor) -> np.ndarray:
    return decode(x[:1].cpu())[0][0].movedim(0, -1).numpy()
