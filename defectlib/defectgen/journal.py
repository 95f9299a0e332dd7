"""What can be watched while a net is trained: a TensorBoard log, and grids of samples. Neither changes the training.

Both go below the directory of the checkpoint, so that they outlast a kill, and into the artifact at the end.
"""

from __future__ import annotations

import io
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from diffusers.training_utils import EMAModel
from PIL import Image

from defectlib.data.encode import IMAGE_CHANNELS, decode
from defectlib.defectgen.denoiser import Denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.pipeline import DefectGenPipeline
from defectlib.device import generator
from defectlib.settings import DenoiserTraining, T
from defectlib.store import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

LOG = "log"
SAMPLES = "samples"
PAIRS = 6  # in a grid
CALLS = 25  # of the net per pair: enough to see what it has learned
#: The settings of a journal that writes nothing.
NOTHING = {"samples_every": 0, "samples_at": (), "tensorboard": False}


class Journal:
    """Writes what the settings of a training ask to be told.

    Args:
        settings: Of the training.
        directory: Where to write.
        step: Steps done before; a log that goes beyond them, written before a kill, is cut there.
    """

    def __init__(self, settings: DenoiserTraining, directory: Path, step: int) -> None:
        self.settings = settings
        self.directory = directory
        self.step = step
        self.clock = time.monotonic()
        self.writer: SummaryWriter | None = None

    def log(self, step: int, loss: float, lr: float) -> None:
        """A point of the curves after ``step`` steps: the mean loss since the last, and the learning rate."""
        now = time.monotonic()
        speed = (step - self.step) * self.settings.batch / (now - self.clock)
        if self.settings.tensorboard:
            self.writer = self.writer or _writer(self.directory / LOG, self.step + 1)
            for name, value in (("loss", loss), ("learning rate", lr), ("images per second", speed)):
                self.writer.add_scalar(name, value, step)
        self.step, self.clock = step, now

    def sample(self, step: int, denoiser: Denoiser, ema: EMAModel, shape: tuple[int, int]) -> None:
        """If ``step`` is one for it, a grid of pairs of ``shape`` (height, width), each from the same noise each time.

        The net alone samples them, with its averaged weights.
        """
        every = self.settings.samples_every
        if step in self.settings.samples_at or (every and step % every == 0):
            self.directory.joinpath(SAMPLES).mkdir(parents=True, exist_ok=True)
            ema.store(denoiser.parameters())
            ema.copy_to(denoiser.parameters())
            picture = grid(*_pairs(denoiser.eval(), self.settings.seed, shape))
            ema.restore(denoiser.parameters())
            denoiser.train()
            write_atomically(self.directory / SAMPLES / f"{step:06}.png", _png(picture))

    def close(self) -> None:
        """Finish what is being written."""
        if self.writer is not None:
            self.writer.close()


def _writer(directory: Path, purge_step: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter  # takes a second to load, and few trainings ask for it

    return SummaryWriter(str(directory), purge_step=purge_step)


def keep(unfinished: Path, artifact: Path) -> None:
    """Copy what a journal wrote below ``unfinished`` into the artifact."""
    for name in (LOG, SAMPLES):
        if (unfinished / name).is_dir():
            # Hidden is what a kill left half written.
            shutil.copytree(unfinished / name, artifact / name, ignore=shutil.ignore_patterns(".*"))


def grid(images: np.ndarray, masks: np.ndarray, types: int) -> np.ndarray:
    """Pairs side by side, uint8 (2 H, N W, 3): the images above, below them the masks, a grey for each defect type."""
    greys = np.linspace(0, 255, types + 1).astype(np.uint8)[masks]  # (N, H, W), background black
    rows = (images, np.repeat(greys[..., None], 3, axis=-1))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def _pairs(denoiser: Denoiser, seed: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, int]:
    pipeline = DefectGenPipeline(denoiser, denoiser, schedule())
    pipeline.set_progress_bar_config(disable=True)
    generators = [generator(seed, "journal", k) for k in range(PAIRS)]
    images, masks = decode(pipeline(shape, generators, switch_step=T, num_inference_steps=CALLS).x.cpu())
    return images.movedim(1, -1).numpy(), masks.numpy(), denoiser.config.channels - IMAGE_CHANNELS - 1


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
