"""BTAD: three industrial products of beanTech, with binary masks of what is wrong among the test images.

Mishra, Verk, Fornasier, Piciarelli, Foresti, "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and
Localization", ISIE 2021. CC BY-SA by the publishers' own words. https://github.com/pankajmishra000/VT-ADL

Layout, per product (01, 02 and 03, in the archive's ``BTech_Dataset_transformed``)::

    train/ok/0000.bmp                 .bmp in 01 and 03, .png in 02
    test/{ok,ko}/0000.bmp
    ground_truth/ko/0000.png          the image's name; .png in 01 and 02, .bmp in 03

A mask's suffix need not be its image's, so the two are joined on the name without it. Nobody says what is wrong with
a part, only that it is ``ko``: this is the one type of every product. Eleven masks are black from end to end (02's
0145, 03's 0028 to 0037) though their images are ``ko``; they are given as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from defectlib.data.listing import list_files, single
from defectlib.data.sources.source import GOOD, Row, Source

_LABELS = {"ok": GOOD, "ko": "ko"}  # by folder
_SUFFIXES = (".bmp", ".png")


class BeanTech(Source):
    """BTAD in its original layout; ``root`` holds the folders 01, 02 and 03."""

    NAME = "btad"

    def _rows(self) -> Iterator[Row]:
        for product in self.products():
            for folder in self.known_folders(f"{product}/train", "folder", ("ok",)):
                yield from self._side(product, "train", folder)
            folders = tuple(self.known_folders(f"{product}/test", "folder", tuple(_LABELS)))
            for folder in folders:
                yield from self._side(product, "test", folder)
            self.masks_alone(f"{product}/ground_truth", set(folders) - {"ok"})

    def _side(self, product: str, split: str, folder: str) -> Iterator[Row]:
        images, label = self._files(f"{product}/{split}/{folder}"), _LABELS[folder]
        masks = {} if label == GOOD else self.join(images, self._files(f"{product}/ground_truth/{folder}"), "")
        for stem, image in images.items():
            if label == GOOD or stem in masks:
                key = f"{split}_{folder}_{stem}"
                yield Row(product, split, key, str(image), str(masks.get(stem, "")), label, group=key)

    def _files(self, folder: str) -> dict[str, Path]:
        return single(list_files(self.root, folder, _SUFFIXES, self.faults), self.faults)
