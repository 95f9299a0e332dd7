"""Pixels of image and mask files: decoded as they are stored, or refused in one line. Nothing is converted silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from defectlib import runtime
from defectlib.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_CLASSES = 255  # a mask's pixel is one byte and 0 is background

# Only these decoders are let near a file, whatever its name says.
_IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_IMAGE_WANTED = "an 8-bit gray or RGB image"
_MASK_WANTED = "an 8-bit PNG of one channel whose values are class ids"
_BINARY_WANTED = "a gray mask of 8 bits, 0 for background and 255 for the defect"
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright

_MODES = {
    "1": "has one bit a pixel",
    "P": "has a palette",
    "PA": "has a palette",
    "RGB": "is a colour image (RGB)",
    "RGBA": "has an alpha channel",
    "LA": "has an alpha channel",
    "RGBa": "has an alpha channel",
    "La": "has an alpha channel",
}


def read_image(path: Path) -> np.ndarray:
    """The image as uint8 (H, W, 3), RGB; gray is repeated over the channels.

    Raises:
        UserError: It is damaged, animated, rotated by an EXIF tag, too large, or not 8-bit gray or RGB.
    """
    pixels = _decode(path, _IMAGE_FORMATS, ("L", "RGB"), _IMAGE_WANTED)
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image that :func:`read_image` would take, from its header alone.

    Raises:
        UserError: See :func:`read_image`; what is damaged further down is not seen.
    """
    return _decode(path, _IMAGE_FORMATS, ("L", "RGB"), _IMAGE_WANTED, lambda image: (image.height, image.width))


def read_mask(path: Path, defect_types: int = MAX_CLASSES) -> np.ndarray:
    """The mask as uint8 (H, W), values 0..``defect_types``.

    Raises:
        UserError: It is not an intact 8-bit PNG of one channel, or holds a value that no class has.
    """
    mask = _decode(path, ("PNG",), ("L",), _MASK_WANTED)
    if (top := int(mask.max())) > defect_types:
        raise UserError(f"{path}: value {top} has no class; classes.json ends at {defect_types}: name it there or mend")
    return mask


def read_binary(path: Path) -> np.ndarray:
    """Where a publisher's mask marks a defect, bool (H, W): values of 128 and more of an 8-bit or 1-bit gray image.

    Gray that is stored as three equal channels is gray; lossy storage may have blurred 0 and 255 a little.

    Raises:
        UserError: It is damaged, animated, coloured, has a palette or more than 8 bits, or marks defects by low values.
    """
    pixels = _decode(path, ("PNG", "BMP", "TIFF"), ("1", "L", "RGB"), _BINARY_WANTED)
    if pixels.ndim == 3:
        if (pixels != pixels[:, :, :1]).any():
            raise UserError(f"{path}: is a colour image; replace it by {_BINARY_WANTED}")
        pixels = pixels[:, :, 0]
    if pixels.dtype == bool:
        return pixels
    if 0 < (top := int(pixels.max())) < 128:
        raise UserError(f"{path}: its highest value is {top}, so nothing is marked; replace it by {_BINARY_WANTED}")
    return pixels >= 128


def size_fault(path: Path, image: np.ndarray, mask: np.ndarray) -> str | None:
    """The line that says that the mask at ``path`` has not the size of its image, or None."""
    if image.shape[:2] == mask.shape:
        return None
    sizes = [f"{width} x {height}" for height, width in (mask.shape, image.shape[:2])]
    return f"{path}: is {sizes[0]} pixels but its image is {sizes[1]}; draw the mask at the image's size"


def _decode(
    path: Path,
    formats: tuple[str, ...],
    modes: tuple[str, ...],
    wanted: str,
    take: Callable[[Image.Image], Result] = np.array,
) -> Result:
    try:
        with Image.open(path, formats=formats) as image:
            image.verify()  # the checksums of a PNG: decoding looks at none, and a turned bit is other pixels
        with Image.open(path, formats=formats) as image:
            fault = _format_fault(image, modes)
            if fault is None:
                return take(image)
    except Image.DecompressionBombError:
        fault = _too_large()
    # Broken bytes lead Pillow's decoders to raise almost anything (OSError, SyntaxError, struct.error, IndexError...).
    except Exception as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()).removesuffix(f" {str(path)!r}")
        fault = f"damaged or not {' or '.join(formats)} ({reason})"
    raise UserError(f"{path}: {fault}; replace it by {wanted}")


def _format_fault(image: Image.Image, modes: tuple[str, ...]) -> str | None:
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        return _too_large()
    if getattr(image, "is_animated", False):
        return "is animated or has several pages"
    stored = _stored_mode(image)  # before getexif, which decodes a PNG and with that forgets how it was stored
    # The stored pair would fit, the pair as viewers show it would not: nobody can tell which one was labelled.
    if (orientation := image.getexif().get(_ORIENTATION, 1)) != 1:
        return f"is turned by its EXIF tag (orientation {orientation})"
    if "16" in stored or image.mode[0] in "IF":
        return "has more than 8 bits a channel"
    # Pillow stretches gray of 2 or 4 bits to 0..255: right for an image, wrong for class ids.
    if stored in ("L;2", "L;4") and modes == ("L",):
        return "has fewer than 8 bits a pixel"
    return None if image.mode in modes else _MODES.get(image.mode, f"is a {image.mode} image")


def _stored_mode(image: Image.Image) -> str:
    """How the file stores pixels: Pillow opens a PNG of 3 x 16 bits as "RGB", and only this tells."""
    arguments = image.tile[0].args if getattr(image, "tile", None) else ""
    return arguments if isinstance(arguments, str) else str(arguments[0])


def _too_large() -> str:
    return f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels"


def threaded(work: Callable[[Item], Result], items: Sequence[Item], what: str) -> Iterator[Result]:
    """``work`` of every item, in order, on all cores: decoding, scaling and hashing let other threads run."""
    with ThreadPoolExecutor() as pool, runtime.progress(len(items), what, unit="image") as bar:
        for result in pool.map(work, items):
            bar.update()
            yield result
