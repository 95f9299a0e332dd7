"""AITEX (AFID): strips of seven woven fabrics, with twelve types of defect or none.

Silvestre-Blanes, Albero-Albero, Miralles, Pérez-Llorens, Moreno, "A Public Fabric Database for Defect Detection Methods
and Results", AUTEX Research Journal 19(4), 2019. https://www.aitex.es/afid/

Layout (some copies hold a folder twice, as Defect_images/Defect_images)::

    Defect_images/nnnn_ddd_ff.png            nnnn: number; ddd: code of the defect; ff: code of the fabric
    Mask_images/nnnn_ddd_ff_mask.png         white is the defect; 0044_019_04 and 0097_030_03 have _mask1 and _mask2
    NODefect_images/FABRIC/nnnn_000_ff.png   0018_00_01 is short of a zero

Masks in parts are united. 0100_025_08 came without a mask: the image is left out, and a note says so.
The mask of 0106_010_03 is black from end to end though its code says "Broken pick"; it is given as it is.

The fabric is neither product nor group here. The types are the same for all fabrics and several have one image, so
fabrics as products would mostly have none of a type; and a group stands on one side of a split whole, so fabrics as
groups would leave seven things to divide. It is the end of every key, where a filter finds it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from defectlib.data.listing import list_files, list_folders, single
from defectlib.data.pixels import read_binary
from defectlib.data.sources.source import GOOD, Row, Source
from defectlib.errors import UserError, unknown

PRODUCT = "fabric"
#: Published names of the defect codes.
CODES = {
    "002": "Broken end",
    "006": "Broken yarn",
    "010": "Broken pick",
    "016": "Weft curling",
    "019": "Fuzzyball",
    "022": "Cut selvage",
    "023": "Crease",
    "025": "Warp ball",
    "027": "Knots",
    "029": "Contamination",
    "030": "Nep",
    "036": "Weft crack",
}

#: The image that was published without its mask.
UNMASKED = "0100_025_08"

DEFECTIVE, MASKS, GOOD_ONES = FOLDERS = ("Defect_images", "Mask_images", "NODefect_images")

_NAME = re.compile(r"\d{4}_(?P<code>\d{2,3})_\d{2}", re.ASCII)
_PART = re.compile(r"(?P<name>.+_mask)[0-9]")


def label_of(name: str) -> str:
    """What the code in the name of an image says: :data:`GOOD` or the type of defect.

    Raises:
        UserError: The name is not built so, or the code is unknown.
    """
    if not (match := _NAME.fullmatch(name)):
        raise UserError(f"{name!r} is not NUMBER_DEFECT_FABRIC, such as 0001_002_00; rename or remove it")
    code = match["code"]
    if int(code) and code not in CODES:
        raise unknown("defect code", code, CODES)
    return CODES.get(code, GOOD)


class AITEX(Source):
    """AITEX in its original layout; ``root`` holds Defect_images, Mask_images and NODefect_images."""

    NAME = "aitex"

    def __init__(self, root: Path) -> None:
        self._parts: dict[str, list[Path]] = {}  # masks by the path of the first
        super().__init__(root)

    def read_mask(self, row: Row) -> np.ndarray:
        """The index mask, uint8 (H, W): what is white in any part is the type that the label says."""
        parts = self._parts[row.mask]
        masks = [read_binary(path) for path in parts]
        for path, mask in zip(parts, masks, strict=True):
            if mask.shape != masks[0].shape:
                raise UserError(f"{path}: has not the size of {parts[0].name}, its other part; get both anew")
        return np.logical_or.reduce(masks) * np.uint8(self.classes[PRODUCT].index(row.label) + 1)

    def files(self, row: Row) -> list[str]:
        """The image and all parts of its mask."""
        return [row.image, *map(str, self._parts.get(row.mask, ()))]

    def _rows(self) -> Iterator[Row]:
        present = set(self.known_folders("", "folder", FOLDERS))
        if DEFECTIVE in present:
            yield from self._defective()
        elif MASKS in present:
            self.faults.append(f"{self.root / MASKS}: has no {DEFECTIVE} beside it; add that or remove the masks")
        if GOOD_ONES in present:
            yield from self._good()

    def _defective(self) -> Iterator[Row]:
        images = self._images(self._inner(DEFECTIVE), good=False)
        masks = single(list_files(self.root, self._inner(MASKS), (".png",), self.faults), self.faults)
        parts: dict[str, list[Path]] = defaultdict(list)
        for stem, path in masks.items():
            match = _PART.fullmatch(stem)
            parts[match["name"] if match else stem].append(path)
        first = {name: paths[0] for name, paths in parts.items()}
        self._parts = {str(paths[0]): paths for paths in parts.values()}
        if UNMASKED in images and f"{UNMASKED}_mask" not in first:
            self.notes.append(f"{images.pop(UNMASKED)}: was published without a mask and is left out")
        for stem, mask in self.join(images, first, "_mask").items():
            yield Row(PRODUCT, "", stem, str(images[stem]), str(mask), label_of(stem), group=stem)

    def _good(self) -> Iterator[Row]:
        folder, seen = self._inner(GOOD_ONES), {}
        for fabric in list_folders(self.root, folder, self.faults):
            for stem, path in self._images(f"{folder}/{fabric}", good=True).items():
                if stem in seen:
                    self.faults.append(f"{path}: has the name of {seen[stem]}; rename or remove one of them")
                else:
                    seen[stem] = path
                    yield Row(PRODUCT, "", stem, str(path), "", GOOD, group=stem)

    def _images(self, folder: str, good: bool) -> dict[str, Path]:
        """The images of a folder by key; a name that says nothing, or what its folder does not, is a fault."""
        images = {}
        for stem, path in single(list_files(self.root, folder, (".png",), self.faults), self.faults).items():
            try:
                label = label_of(stem)
            except UserError as error:
                self.faults.append(f"{path}: {error}")
                continue
            if (label == GOOD) == good:
                images[stem] = path
            else:
                self.faults.append(f"{path}: is '{label}' by its name, not by its folder; move or remove it")
        return images

    def _inner(self, name: str) -> str:
        """The folder that holds the files: the one called ``name``, or one of its name in it."""
        if not (self.root / name / name).is_dir():
            return name
        for paths in list_files(self.root, name, (".png",), self.faults, beside=(name,)).values():
            self.faults += [f"{path}: stands beside the folder {name}; move it in there" for path in paths]
        return f"{name}/{name}"
