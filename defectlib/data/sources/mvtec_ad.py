"""MVTec AD: fifteen products, defect-free training images, binary masks of the defects among the test images.

Bergmann, Fauser, Sattlegger, Steger, "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly
Detection", CVPR 2019. CC BY-NC-SA 4.0. https://www.mvtec.com/company/research/datasets/mvtec-ad

Layout, per product::

    train/good/000.png
    test/{good,TYPE}/000.png
    ground_truth/TYPE/000_mask.png        8-bit, 0 or 255; none for good images

The folder is the defect type. Where a folder is called ``combined``, the image shows several types and the mask does
not tell them apart: Defect Spectrum does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from defectlib.data.listing import list_files, single
from defectlib.data.sources.source import GOOD, Row, Source


class MVTecAD(Source):
    """MVTec AD in its original layout; ``root`` holds the products."""

    NAME = "mvtec_ad"

    def _rows(self) -> Iterator[Row]:
        for product in self.products():
            for label in self.known_folders(f"{product}/train", "defect type", (GOOD,)):
                yield from self._side(product, "train", label)
            known = (GOOD, *self.classes[product])
            labels = tuple(self.known_folders(f"{product}/test", "defect type", known))
            for label in labels:
                yield from self._side(product, "test", label)
            self.masks_alone(f"{product}/ground_truth", set(labels) - {GOOD})

    def _side(self, product: str, split: str, label: str) -> Iterator[Row]:
        images = single(list_files(self.root, f"{product}/{split}/{label}", (".png",), self.faults), self.faults)
        masks = {} if label == GOOD else self._masks(product, label, images)
        for stem, image in images.items():
            if label == GOOD or stem in masks:
                key = f"{split}_{label}_{stem}"
                yield Row(product, split, key, str(image), str(masks.get(stem, "")), label, group=key)

    def _masks(self, product: str, label: str, images: dict[str, Path]) -> dict[str, Path]:
        """Masks by the stem of their image; both ways of being alone are faults."""
        folder = f"{product}/ground_truth/{label}"
        return self.join(images, single(list_files(self.root, folder, (".png",), self.faults), self.faults), "_mask")
