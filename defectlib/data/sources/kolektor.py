"""KolektorSDD2: colour images of one kind of surface, each with a mask, black where there is no defect.

Božič, Tabernik, Skočaj, "Mixed supervision for surface-defect detection: from weakly to fully supervised learning",
Computers in Industry 129, 2021. CC BY-NC-SA 4.0. https://www.vicos.si/resources/kolektorsdd2/

Layout::

    train/10000.png   train/10000_GT.png        8-bit, 0 or 255
    test/20000.png    test/20000_GT.png
    split_weakly_0.pyb ...                      which training masks a weakly supervised run may use

Nothing but the mask tells whether an image is good, so its label is left empty. The split files are pickles, which
could run anything when opened: they are left alone, and the two folders are the split.

The published archive holds one training pair a second time, byte for byte: ``10301 (copy).png`` and its mask
``10301_GT (copy).png``. The copy is a row like any other and in the group of its original, so that no split can put
them on different sides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from defectlib.data.listing import list_files, single
from defectlib.data.pixels import read_binary
from defectlib.data.sources.source import Row, Source

_PRODUCT = "surface"
_COPY = " (copy)"
_MASK = re.compile(rf"(.+)_GT({re.escape(_COPY)})?")


class KolektorSDD2(Source):
    """KolektorSDD2 in its original layout; ``root`` holds the folders train and test."""

    NAME = "kolektor"

    def _rows(self) -> Iterator[Row]:
        for split in self.known_folders("", "folder", ("train", "test")):
            yield from self._side(split)

    def _side(self, split: str) -> Iterator[Row]:
        images, masks = divide(single(list_files(self.root, split, (".png",), self.faults), self.faults))
        for stem, mask in self.join(images, masks, "").items():
            key = f"{split}_{stem}"
            yield Row(_PRODUCT, split, key, str(images[stem]), str(mask), label="", group=key.removesuffix(_COPY))

    def read_mask(self, row: Row) -> np.ndarray:
        """The index mask, uint8 (H, W): 1 where the publishers' mask is white.

        Raises:
            UserError: The file is damaged or not what the layout promises.
        """
        return read_binary(Path(row.mask)).astype(np.uint8)


def divide(files: dict[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images and masks among ``files`` (by name without suffix), both by the name of the image."""
    named = {stem: _MASK.fullmatch(stem) for stem in files}
    images = {stem: files[stem] for stem, match in named.items() if match is None}
    masks = {match[1] + (match[2] or ""): files[stem] for stem, match in named.items() if match}
    return images, masks
