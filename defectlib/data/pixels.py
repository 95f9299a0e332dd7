"""Pixels of image and mask files: decoded without loss, or refused in one line."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from defectlib import runtime
from defectlib.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_CLASSES = 255  # a mask's pixel is one byte and 0 is background

# Only these decoders are let near a file, whatever its name says.
_IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_IMAGE_MODES = ("L", "RGB", "P", "RGBA", "LA")
_IMAGE_WANTED = "an 8-bit gray or RGB image"
_MASK_WANTED = "an 8-bit PNG of one channel whose values are class ids"
_BINARY_WANTED = "a gray mask of 8 bits, 0 for background and 255 for the defect"
_MOST_THREADS = 8  # each holds a photograph, decoded
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright, 2 to 8 turned or mirrored
_POINTERS = (b"version https://git-lfs.github.com", b"/annex/objects/")

_MODES = {
    "1": "has one bit a pixel",
    "P": "has a palette; save its indices as gray values, where those are meant",
    "PA": "has a palette",
    "RGB": "is a colour image (RGB); save one of its channels where they are alike, else an id for each colour",
    "RGBA": "has an alpha channel",
    "LA": "has an alpha channel",
    "RGBa": "has an alpha channel",
    "La": "has an alpha channel",
}


def read_image(path: Path, turn: bool = False) -> np.ndarray:
    """The image as uint8 (H, W, 3), RGB: gray and palettes as colours, the first picture of an MPO file.

    Args:
        path: The file.
        turn: Turn it as its EXIF tag says; else such an image is refused, for nobody knows how its mask lies.

    Raises:
        UserError: It is damaged, animated, turned, too large, transparent, or not 8-bit gray or RGB.
    """

    def take(image: Image.Image) -> np.ndarray:
        return np.array((ImageOps.exif_transpose(image) if turn else image).convert("RGB"))

    return _decode(path, _IMAGE_FORMATS, _IMAGE_MODES, _IMAGE_WANTED, take, turn)


def image_size(path: Path, turn: bool = False) -> tuple[int, int]:
    """Height and width, as they are stored, of an image that :func:`read_image` would take, from its header alone.

    Raises:
        UserError: See :func:`read_image`; what is damaged further down is not seen.
    """
    return _decode(path, _IMAGE_FORMATS, _IMAGE_MODES, _IMAGE_WANTED, lambda image: (image.height, image.width), turn)


def read_mask(path: Path, defect_types: int = MAX_CLASSES) -> np.ndarray:
    """The mask as uint8 (H, W), values 0..``defect_types``.

    Raises:
        UserError: It is not an intact 8-bit PNG of one channel, or holds a value that no class has.
    """
    mask = _decode(path, ("PNG",), ("L",), _MASK_WANTED)
    if mask.max() > defect_types:
        raise UserError(f"{path}: {_value_fault(mask, defect_types)}")
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
    (height, width), (high, wide) = mask.shape, image.shape[:2]
    if (height, width) == (wide, high):
        advice = "one of the two is turned: turn it back"
    elif abs(height - high) <= 1 and abs(width - wide) <= 1:
        advice = "one of the two was cropped or resized and rounded otherwise: make both in one step"
    elif abs(height * wide - width * high) <= max(high, wide):
        advice = "one of the two was resized: draw the mask at the image's size, or resize it with nearest neighbours"
    else:
        advice = "draw the mask at the image's size"
    return f"{path}: is {width} x {height} pixels but its image is {wide} x {high}; {advice}"


# Masks that were damaged --------------------------------------------------------------------------------------------

_SMOOTHED = (
    "has values in between along its edges, as resizing with interpolation, smooth (antialiased) edges or JPEG leave "
    "them; make it anew with nearest neighbours and as PNG"
)
_INVERTED = "marks its whole border as a defect; if it is inverted, or its background is not 0, write 0 there"


def mask_doubts(mask: np.ndarray) -> list[str]:
    """What looks damaged in a mask although every value has a class."""
    inverted = _border(mask).all() and not mask.all()
    return [doubt for doubt, is_so in ((_SMOOTHED, _is_smoothed(mask)), (_INVERTED, inverted)) if is_so]


def _value_fault(mask: np.ndarray, defect_types: int) -> str:
    """What is wrong with a mask that holds values beyond its classes: what made them, and what to do."""
    values = np.flatnonzero(np.bincount(mask.ravel())).tolist()
    ids, top = [value for value in values if value], values[-1]
    if len(ids) == 1 and top >= 100:
        return f"is black and white: {top} marks every defect; write there the id of its type, from 1"
    if _is_smoothed(mask):
        return _SMOOTHED
    if top == 255 and ids[-2] <= defect_types:
        if np.median(_border(mask)) == 255:
            return "its background is 255 and its ids start at 0; add 1 to every value, so that 255 becomes 0"
        return "255 marks pixels to ignore, which there are none of here; write 0 or the id of a type there"
    if values[0] == 1 and top == defect_types + 1:
        return "its background is 1 and every id one too high; subtract 1 from every value"
    for step in (math.gcd(*ids), 255 / defect_types):
        if step >= 10 and top / step < defect_types + 0.5 and all(abs(v - step * round(v / step)) < 1 for v in ids):
            return f"holds ids times {step:g}, stretched so that they can be seen; divide by that and round"
    mend = "subtract 1 where every id is one too high" if 1 not in ids and top == defect_types + 1 else "mend"
    return f"value {top} has no class; classes.json ends at {defect_types}: name it there or {mend}"


def _is_smoothed(mask: np.ndarray) -> bool:
    """Whether values climb and fall over single pixels, on both sides of what is marked, where ids would jump."""
    between = jumps = 0
    for pixels in (mask, mask.T) if mask.max() > 1 else ():
        first, middle, last = pixels[:-2], pixels[1:-1], pixels[2:]
        climbs = np.count_nonzero((first < middle) & (middle < last))
        falls = np.count_nonzero((first > middle) & (middle > last))
        between += 2 * min(climbs, falls)
        jumps += np.count_nonzero(np.maximum(first, last) - np.minimum(first, last) > 1)
    return between >= 8 and between > jumps / 10


def _border(mask: np.ndarray) -> np.ndarray:
    return np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])


# Files --------------------------------------------------------------------------------------------------------------


def _decode(
    path: Path,
    formats: tuple[str, ...],
    modes: tuple[str, ...],
    wanted: str,
    take: Callable[[Image.Image], Result] = np.array,
    turn: bool = False,
) -> Result:
    try:
        with Image.open(path, formats=formats) as image:
            image.verify()  # the checksums of a PNG: decoding looks at none, and a turned bit is other pixels
        with Image.open(path, formats=formats) as image:
            fault = _format_fault(image, modes, turn)
            if fault is None:
                return take(image)
    except Image.DecompressionBombError:
        fault = _too_large()
    # Broken bytes lead Pillow's decoders to raise almost anything (OSError, SyntaxError, struct.error, IndexError...).
    except Exception as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()).removesuffix(f" {str(path)!r}")
        fault = f"damaged or not {' or '.join(formats)} ({reason})"
        if isinstance(error, UnidentifiedImageError) and path.read_bytes().startswith(_POINTERS):
            fault = "stands for a file that is not here; fetch it (`git lfs pull`, `git annex get`)"
    raise UserError(f"{path}: {fault}" if ";" in fault else f"{path}: {fault}; replace it by {wanted}")


def _format_fault(image: Image.Image, modes: tuple[str, ...], turn: bool) -> str | None:
    if Image.MAX_IMAGE_PIXELS and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        return _too_large()
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a JPEG, with previews or a second view behind
        return "is animated or has several pages"
    stored = _stored_mode(image)  # before getexif, which decodes a PNG and with that forgets how it was stored
    # The stored pair would fit, the pair as viewers show it would not: nobody can tell which one was labelled.
    if (orientation := image.getexif().get(_ORIENTATION)) in range(2, 9) and not turn:
        tag = f"is turned by its EXIF tag (orientation {orientation})"
        return f"{tag}, its mask is not; turn its pixels (`mogrify -auto-orient`) or remove the tag, as the mask fits"
    if "16" in stored or image.mode[0] in "IF":
        return "has more than 8 bits a channel"
    # Pillow stretches gray of 2 or 4 bits to 0..255: right for an image, wrong for class ids.
    if stored in ("L;2", "L;4") and modes == ("L",):
        return "has fewer than 8 bits a pixel"
    if image.mode not in modes:
        return _MODES.get(image.mode, f"is a {image.mode} image")
    if image.mode == "P" and image.has_transparency_data:
        image = image.convert("RGBA")
    transparent = image.mode in ("RGBA", "LA") and image.getchannel("A").getextrema()[0] < 255
    return "has an alpha channel that hides some of it" if transparent else None


def _stored_mode(image: Image.Image) -> str:
    """How the file stores pixels: Pillow opens a PNG of 3 x 16 bits as "RGB", and only this tells."""
    arguments = image.tile[0].args if getattr(image, "tile", None) else ""
    return arguments if isinstance(arguments, str) else str(arguments[0])


def _too_large() -> str:
    return f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels"


def threaded(work: Callable[[Item], Result], items: Sequence[Item], what: str) -> Iterator[Result]:
    """``work`` of every item, in order, on all cores: decoding, scaling and hashing let other threads run.

    No more results wait than there are threads: those of large photographs would fill the memory.
    """
    threads, running = min(os.cpu_count() or 1, _MOST_THREADS), deque()
    with ThreadPoolExecutor(threads) as pool, runtime.progress(len(items), what, unit="image") as bar:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > threads:
                yield running.popleft().result()
                bar.update()
        for future in running:
            yield future.result()
            bar.update()
