"""DAGM 2007: ten artificial textures, each with one type of defect under a weak, elliptical mask.

Wieler, Hahn, "Weakly Supervised Learning for Industrial Optical Inspection", DAGM symposium 2007.
https://hci.iwr.uni-heidelberg.de/content/weakly-supervised-learning-industrial-optical-inspection

Layout, per class (some copies hold it twice, as Class1/Class1)::

    {Train,Test}/0576.PNG
    {Train,Test}/Label/0576_label.PNG    0 or 255, a filled ellipse around the defect; none for good images
    {Train,Test}/Label/Labels.txt        the class number; then, by tabs: number, 0 or 1, image, 0 or 1, label or 0

The publishers name no defect, so the one type of a class is called ``defect``. A label file that is lost would make
its image look good: Labels.txt says which images are defective and must agree with the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from defectlib.data.listing import list_files, list_folders, single
from defectlib.data.sources.source import GOOD, Row, Source
from defectlib.errors import UserError
from defectlib.reading import read_text

DEFECT = "defect"
SPLITS = ("Train", "Test")
LIST = "Labels.txt"

_LINE = re.compile(r"\d+\t(?P<defective>[01])\t(?P<stem>[^\t/\\]+)\.png\t[01]\t(0|[^\t]+\.png)\s*", re.IGNORECASE)


class DAGM2007(Source):
    """DAGM 2007 as its archives of ten classes unpack; ``root`` holds Class1 … Class10."""

    NAME = "dagm"

    def _rows(self) -> Iterator[Row]:
        for product in self.products():
            folder = self._inner(product)
            for split in self.known_folders(folder, "split", SPLITS):
                yield from self._split(product, f"{folder}/{split}", split.lower())

    def _inner(self, product: str) -> str:
        """The folder that holds Train and Test: the class's own, or one of its name in it."""
        if not (self.root / product / product).is_dir():
            return product
        if list_folders(self.root, product, self.faults) != [product]:
            self.faults.append(f"{self.root / product}: holds {product} once more and other folders; keep one of them")
        return f"{product}/{product}"

    def _split(self, product: str, folder: str, split: str) -> Iterator[Row]:
        images = single(list_files(self.root, folder, (".png",), self.faults, beside=("Label",)), self.faults)
        labels = self._labels(f"{folder}/Label")
        listed = self._listed(self.root / folder / "Label" / LIST, images)
        defective = {stem for stem, is_defective in listed.items() if is_defective}
        marked = {stem: image for stem, image in images.items() if stem in defective or f"{stem}_label" in labels}
        masks = self.join(marked, labels, "_label")
        for stem in sorted(masks.keys() & listed.keys() - defective):
            self.faults.append(f"{masks[stem]}: marks an image that {LIST} calls good; get both anew")
        for stem in sorted(images.keys() & listed.keys()):
            if (stem in masks) == listed[stem]:
                key, label = f"{split}_{stem}", DEFECT if listed[stem] else GOOD
                yield Row(product, split, key, str(images[stem]), str(masks.get(stem, "")), label, group=key)

    def _labels(self, folder: str) -> dict[str, Path]:
        return single(list_files(self.root, folder, (".png",), self.faults, beside=(LIST,)), self.faults)

    def _listed(self, path: Path, images: dict[str, Path]) -> dict[str, bool]:
        """Whether an image is defective, by its stem; it and the folder must name the same images."""
        try:
            listed = _read_list(path)
        except UserError as error:
            self.faults.append(str(error))
            return {}
        for stem in sorted(listed.keys() - images.keys()):
            self.faults.append(f"{path}: lists {stem!r}, which is not in the folder above; get the archive anew")
        for stem in sorted(images.keys() - listed.keys()):
            self.faults.append(f"{images[stem]}: is not listed in {LIST}; remove it or get the archive anew")
        return listed


def _read_list(path: Path) -> dict[str, bool]:
    """Whether an image is defective, by its stem, as Labels.txt says.

    Raises:
        UserError: The file is missing, or is not such a list.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file; it says which images are defective: get it anew")
    lines = read_text(path, "text", "get it anew").splitlines()
    listed: dict[str, bool] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match and match["stem"] not in listed:
            listed[match["stem"]] = match["defective"] == "1"
        elif number > 1 and line.strip():
            wanted = "a new image's number, 0 or 1, name, 0 or 1, and label or 0"
            raise UserError(f"{path}: line {number} is not {wanted}, by tabs; get it anew")
    return listed
