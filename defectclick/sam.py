"""Segment Anything (Kirillov et al. 2023) through transformers, with weights that lie on this machine.

Every click is a point of its prompt, and the logits of the mask before it are its mask prompt, as its authors train
and evaluate it. Of the three masks that it offers for a single click, the one that it scores highest is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError

from defectclick.clicks import Click
from defectlib import torchvision_shim as _torchvision_shim  # noqa: F401  (before transformers loads torchvision)
from defectlib.errors import UserError


class Sam:
    """SAM as a :class:`~defectclick.clicks.Clicker`, from the folder of :func:`defectclick.sam_weights.find`.

    Raises:
        UserError: The folder does not hold SAM in the form that transformers writes.
    """

    name = "SAM"

    def __init__(self, folder: Path) -> None:
        from transformers import SamModel, SamProcessor

        try:
            model = SamModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            self._processor = SamProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            hint = "write it with save_pretrained"
            raise UserError(f"{folder}: cannot be read as Segment Anything ({said}); {hint}") from error
        self._model = model.eval()
        # Most of the work is the image's, and a sequence of clicks asks of one image again and again.
        self._embedded = lru_cache(maxsize=2)(self._embed)

    @torch.inference_mode()
    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        """See :class:`~defectclick.clicks.Clicker`; what was made of the earlier clicks is made anew."""
        embedding, sizes = self._embedded(image.tobytes(), image.shape)
        logits = None
        for count in range(1, len(clicks) + 1):
            logits = self._logits(embedding, image, clicks[:count], logits)
        return self._processor.image_processor.post_process_masks(logits[None], *sizes)[0][0, 0].numpy()

    def _logits(
        self, embedding: torch.Tensor, image: np.ndarray, clicks: Sequence[Click], before: torch.Tensor | None
    ) -> torch.Tensor:
        """Logits (1, 1, h, w) after some clicks, given those before the latest."""
        # SAM's pixels are corners of a grid, ours are its cells: a click stands in the middle of one.
        places = [[[click.column + 0.5, click.row + 0.5] for click in clicks]]
        points = self._processor(images=image, input_points=[places], return_tensors="pt")["input_points"]
        found = self._model(
            image_embeddings=embedding,
            input_points=points.float(),
            input_labels=torch.tensor([[[int(click.positive) for click in clicks]]]),
            input_masks=before,
            multimask_output=len(clicks) == 1,
        )
        best = int(found.iou_scores[0, 0].argmax())
        return found.pred_masks[:, 0, best : best + 1]

    def _embed(self, pixels: bytes, shape: tuple[int, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        image = np.frombuffer(pixels, np.uint8).reshape(shape).copy()  # torch wants to be able to write
        given = self._processor(images=image, return_tensors="pt")
        embedding = self._model.get_image_embeddings(given["pixel_values"])
        return embedding, (given["original_sizes"], given["reshaped_input_sizes"])
