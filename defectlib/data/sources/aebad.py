"""AeBAD-S: photographs of aero-engine blades under changing conditions, with binary masks of four defect types.

Zhang, Zhao, Zhang, Sun, Chen, "Industrial Anomaly Detection with Domain Shift: A Real-world Dataset and Masked
Multi-scale Reconstruction", Computers in Industry 151, 2023. CC BY 4.0. https://github.com/zhangzilongc/MMR

Layout; the condition is what differs between the blades of training and of testing::

    AeBAD_S/train/good/{background,illumination,view}/IMG_7138.png
    AeBAD_S/test/{good,TYPE}/{same,background,illumination,view}/IMG_8396.png
    AeBAD_S/ground_truth/TYPE/CONDITION/IMG_8396.png      the image's name; 8-bit, 0 or 255

The images are JPEGs under names that end in .png; decoders go by the content. The archive's second part, ``AeBAD_V``,
is video without masks and is left alone.

A name is the camera's number of a shot, and one shot (IMG_7138) stands under two conditions: images of one name are
one group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from defectlib.data.listing import list_files, single
from defectlib.data.sources.source import GOOD, Row, Source

CONDITIONS = ("same", "background", "illumination", "view")
_VIDEOS = "AeBAD_V"


class AeBAD(Source):
    """AeBAD-S in its original layout; ``root`` holds the folder AeBAD_S."""

    NAME = "aebad"

    def _rows(self) -> Iterator[Row]:
        for part in self.known_folders("", "part", (*self.manifest.products, _VIDEOS)):
            if part != _VIDEOS:
                yield from self._part(part)

    def _part(self, part: str) -> Iterator[Row]:
        for label in self.known_folders(f"{part}/train", "defect type", (GOOD,)):
            yield from self._label(part, "train", label)
        labels = tuple(self.known_folders(f"{part}/test", "defect type", (GOOD, *self.classes[part])))
        for label in labels:
            yield from self._label(part, "test", label)
        self.masks_alone(f"{part}/ground_truth", set(labels) - {GOOD})

    def _label(self, part: str, split: str, label: str) -> Iterator[Row]:
        conditions = tuple(self.known_folders(f"{part}/{split}/{label}", "condition", CONDITIONS))
        for condition in conditions:
            yield from self._condition(part, split, label, condition)
        if label != GOOD:
            self.masks_alone(f"{part}/ground_truth/{label}", conditions)

    def _condition(self, part: str, split: str, label: str, condition: str) -> Iterator[Row]:
        images = self._files(f"{part}/{split}/{label}/{condition}")
        folder = f"{part}/ground_truth/{label}/{condition}"
        masks = {} if label == GOOD else self.join(images, self._files(folder), "")
        for stem, image in images.items():
            if label == GOOD or stem in masks:
                key = f"{split}_{label}_{condition}_{stem}"
                yield Row(part, split, key, str(image), str(masks.get(stem, "")), label, group=stem)

    def _files(self, folder: str) -> dict[str, Path]:
        return single(list_files(self.root, folder, (".png",), self.faults), self.faults)
