"""Writers of miniature dataset folders in the one layout."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defectlib import runtime
from defectlib.errors import UserError

CLASSES = ("scratch", "stain")
#: The dataset of most tests: several types in one image, and images without any.
PRESENT = {"a": (1,), "b": (2,), "c": (1, 2), "d": (), "e": (1,), "f": (2,), "g": (1,), "h": (2,)}


def picture(key: str, size: tuple[int, int] = (16, 12)) -> np.ndarray:
    """Random pixels that follow from the key: uint8 (H, W, 3)."""
    return runtime.numpy_generator(0, "picture", key).integers(0, 256, (*size, 3), dtype=np.uint8)


def labels(present: tuple[int, ...], size: tuple[int, int] = (16, 12)) -> np.ndarray:
    """A mask uint8 (H, W) in which class k covers row k."""
    mask = np.zeros(size, np.uint8)
    for number in present:
        mask[number] = number
    return mask


def write_folder(
    root: Path, present: Mapping[str, tuple[int, ...]] = PRESENT, groups: Mapping[str, str] | None = None
) -> Path:
    """Write images, masks, classes.json and, where given, groups.json; returns ``root``."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for key, types in present.items():
        Image.fromarray(picture(key)).save(root / "images" / f"{key}.png")
        Image.fromarray(labels(types)).save(root / "masks" / f"{key}.png")
    (root / "classes.json").write_text(json.dumps({str(i): name for i, name in enumerate(CLASSES, 1)}))
    if groups is not None:
        (root / "groups.json").write_text(json.dumps(groups))
    return root


def message(call: Callable, *arguments: object, **named: object) -> str:
    """What the user is told when ``call`` refuses."""
    with pytest.raises(UserError) as refused:
        call(*arguments, **named)
    return str(refused.value)
