"""What a click is, and what turns clicks into a mask: the contract of networks, classical methods and the tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Click:
    """A place in an image that the annotator has pointed at.

    Attributes:
        row: From the top, in pixels of the image.
        column: From the left, in pixels of the image.
        positive: It lies on the defect; False: on what the mask took for it.
    """

    row: int
    column: int
    positive: bool = True


class Clicker(Protocol):
    """A method of interactive segmentation. It keeps nothing between calls, so that undoing is forgetting a click."""

    #: For tables and legends.
    name: str

    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        """The mask after the latest click.

        Args:
            image: uint8 (H, W, 3).
            clicks: All so far, the latest last; at least one.
            previous: bool (H, W), the mask before the latest click; all False at first.

        Returns:
            bool (H, W).
        """
        ...
