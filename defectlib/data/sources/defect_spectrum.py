"""Defect Spectrum, the paper's own dataset: four published ones with new masks in which every pixel has its type.

Yang, Chen, Chen, Fang, Liang, Liu, Chen, "Defect Spectrum: A Granular Look of Large-Scale Defect Datasets with Rich
Semantics", ECCV 2024 (§3.1, §3.2). MIT by its card; the photographs keep the licences of their publishers.
https://huggingface.co/datasets/DefectSpectrum/Defect_Spectrum

Layout::

    DS-MVTec/captions.xlsx                          see `defectlib.data.sources.captions`
    DS-MVTec/PRODUCT/image/{good,FOLDER}/000.png
    DS-MVTec/PRODUCT/mask/FOLDER/000_mask.png       8-bit, class ids; none for good images
    DS-MVTec/PRODUCT/{rgb,rbg}_mask/FOLDER/000_{rgb,rbg}_mask.png
    DS-VISION/PRODUCT/{image,mask,rbg_mask}/        the same without folders
    DS-DAGM/{image,mask,rbg_mask}/
    DS-Cotton-Fabric/{image,mask,rbg_mask}/
    synthetic_{MVTec,VISION}/PRODUCT/{images,masks,masks_converted_dir}/
    synthetic_Cotton_Fabric/{images,masks,masks_converted_dir}/
                                                    samples_{image,mask,converted_mask}_000000_0_0.png
    synthetic_Procedural/                           no part of the dataset: what `defectlib sample --release` writes,
                                                    see `defectlib.data.hub`

MVTec AD and VISION both have a screw and wood, so products are called ``mvtec_screw``, ``vision_screw``, and so on.
The folder of a defective image is MVTec's type, which was labelled anew pixel by pixel: it keeps keys apart and tells
no label. Colour masks come in both spellings and are never read: their colours follow no palette in the synthetic sets
(tracker, issue 13), and only whether each has its image is checked. ``metal_nut/flip`` and ``pill/pill_type`` were left
out by the authors, and ``pill/image/good`` shows metal nuts but for four images (tracker, issue 15).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from defectlib.data.folder import read_classes
from defectlib.data.listing import IMAGE_SUFFIXES, key_fault, list_files, list_folders, single
from defectlib.data.pixels import read_mask
from defectlib.data.sources.captions import match_captions, read_captions
from defectlib.data.sources.source import GOOD, SYNTHETIC, Row, Source
from defectlib.errors import UserError

#: The folders that the dataset consists of, and how the names of their products begin (or the one product's name).
SUBSETS = {
    "DS-MVTec": "mvtec",
    "DS-VISION": "vision",
    "DS-DAGM": "dagm",
    "DS-Cotton-Fabric": "cotton_fabric",
    "synthetic_MVTec": "mvtec",
    "synthetic_VISION": "vision",
    "synthetic_Cotton_Fabric": "cotton_fabric",
}
#: Pairs of the embedded dataset in the same layout; their products are called ``procedural_NAME``.
RELEASE = "synthetic_Procedural"
_NESTED = "DS-MVTec"
_COLOURED = ("rgb_mask", "rbg_mask")
_COLOUR_SUFFIX = re.compile("_r(gb|bg)_mask$")
_TRUE_PILLS = frozenset(f"{GOOD}/{number:03}" for number in range(22, 26))

_Files = dict[str, Path]


class DefectSpectrum(Source):
    """Defect Spectrum as its page lays it out; ``root`` holds the subsets."""

    NAME = "defect_spectrum"

    def read_mask(self, row: Row) -> np.ndarray:
        """The index mask, uint8 (H, W), as it is stored.

        Raises:
            UserError: The file is damaged, or holds a value that no class of its product has.
        """
        mask, classes = read_mask(Path(row.mask)), self.classes[row.product]
        if (top := int(mask.max())) > len(classes):
            named = ", ".join(f"{number} {name}" for number, name in enumerate(classes, 1))
            raise UserError(f"{row.mask}: value {top} has no class; {row.product} has {named}; get the file anew")
        return mask

    def _rows(self) -> Iterator[Row]:
        seen: dict[tuple[str, str], Row] = {}
        for row in self._every_row():
            first = seen.setdefault((row.product, row.key), row)
            if first is row:
                yield row
            else:
                self.faults.append(f"{row.image}: has the same key, '{row.key}', as {first.image}; rename one")

    def _every_row(self) -> Iterator[Row]:
        for subset in list_folders(self.root, "", self.faults):
            if subset == RELEASE:
                yield from self._release()
                continue
            if subset not in SUBSETS:
                self.unlisted("subset", subset, tuple(SUBSETS), self.root / subset)
                continue
            captions = self._captions(subset, self._known(subset)) if subset == _NESTED else {}
            files = self._nested if subset == _NESTED else self._files
            for product, base in self._parts(subset):
                if subset.startswith(SYNTHETIC):
                    yield from self._synthetic(product, base)
                else:
                    yield from self._real(product, base, files, captions.get(Path(base).name, {}))

    def _captions(self, subset: str, products: Iterable[str]) -> dict[str, dict[str, str]]:
        path = self.root / subset / "captions.xlsx"
        return read_captions(path, set(products), self.faults) if path.exists() else {}

    def _release(self) -> Iterator[Row]:
        """Pairs that were made here: each product names its own types, and captions lie beside the products."""
        folders = list_folders(self.root, RELEASE, self.faults)
        captions = self._captions(RELEASE, folders)
        for folder in folders:
            base, product = f"{RELEASE}/{folder}", f"procedural_{folder}"
            try:
                self.classes[product] = read_classes(self.root / base)
            except UserError as error:
                self.faults.append(str(error))
            else:
                yield from self._synthetic(product, base, captions.get(folder, {}))

    def _parts(self, subset: str) -> Iterator[tuple[str, str]]:
        """The products of ``subset`` that are present, with their folders below the root."""
        name = SUBSETS[subset]
        if name in self.manifest.products:
            yield name, subset
            return
        known = self._known(subset)
        for folder in list_folders(self.root, subset, self.faults):
            if folder.lower() in known:
                yield f"{name}_{folder.lower()}", f"{subset}/{folder}"
            else:
                self.unlisted(f"product of {subset}", folder, known, self.root / subset / folder)

    def _known(self, subset: str) -> tuple[str, ...]:
        """The products of ``subset`` as its folders are called, in lower case."""
        start = f"{SUBSETS[subset]}_"
        return tuple(name.removeprefix(start) for name in self.manifest.products if name.startswith(start))

    # Pairs ----------------------------------------------------------------------------------------------------------

    def _real(
        self, product: str, base: str, files: Callable[[str], _Files], captions: Mapping[str, str]
    ) -> Iterator[Row]:
        """Images of a product; ``files`` lists a folder, and the names that it gives are joined."""
        images = files(f"{base}/image")
        captions = match_captions(captions, images.keys(), self.root / base / "image", self.faults)
        good = {name for name in images if name.startswith(f"{GOOD}/")}
        if product == "mvtec_pill":
            self._leave_out(good - _TRUE_PILLS, images)
        defective = {name: path for name, path in images.items() if name not in good}
        masks = self.join(defective, files(f"{base}/mask"), "_mask")
        self._check_colours(base, defective, self._coloured(base, files))
        for name, path in images.items():
            if name in good or name in masks:
                key, label = name.replace("/", "_"), GOOD if name in good else ""
                yield Row(product, "", key, str(path), str(masks.get(name, "")), label, key, captions.get(name, ""))

    def _leave_out(self, wrong: set[str], images: _Files) -> None:
        if wrong:
            self.notes.append(
                f"{images[min(wrong)].parent}: {len(wrong)} images show metal nuts, a known error of the release (all "
                "but 022 to 025), and are left out; MVTec AD has the good pills"
            )
        for name in wrong:
            del images[name]

    def _synthetic(self, product: str, base: str, captions: Mapping[str, str] | None = None) -> Iterator[Row]:
        images = self._samples(f"{base}/images", "samples_image_")
        masks = self._samples(f"{base}/masks_converted_dir", "samples_converted_mask_")
        if (self.root / base / "masks").is_dir():
            self._check_colours(base, images, self._samples(f"{base}/masks", "samples_mask_"))
        else:
            self._check_colours(base, images, {})
        names = {f"images/{path.stem}": number for number, path in images.items()}
        described = match_captions(captions or {}, names.keys(), self.root / base, self.faults)
        texts = {names[name]: caption for name, caption in described.items()}
        for number, mask in self.join(images, masks, "").items():
            key = f"{SYNTHETIC}_{number}"
            yield Row(product, SYNTHETIC, key, str(images[number]), str(mask), "", key, texts.get(number, ""))

    # Colour masks ---------------------------------------------------------------------------------------------------

    def _coloured(self, base: str, files: Callable[[str], _Files]) -> _Files:
        """Colour masks by the name of their image, whichever way folder and file are spelt."""
        coloured: _Files = {}
        for folder in list_folders(self.root, base, self.faults):
            if folder in _COLOURED:
                found = files(f"{base}/{folder}")
                coloured |= {_COLOUR_SUFFIX.sub("", name): path for name, path in found.items()}
            elif folder not in ("image", "mask"):
                self.unlisted("folder", folder, ("image", "mask", *_COLOURED), self.root / base / folder)
        return coloured

    def _check_colours(self, base: str, images: _Files, coloured: _Files) -> None:
        """A colour mask alone tells that its image is lost: a fault. An image without one lacks nothing: a note."""
        alone = sorted(coloured.keys() - images.keys())
        self.faults += [f"{coloured[name]}: has no image; add '{name}' or remove the mask" for name in alone]
        if bare := images.keys() - coloured.keys():
            self.notes.append(
                f"{self.root / base}: {len(bare)} of {len(images)} images have no colour mask; nothing here reads them"
            )

    # Listing --------------------------------------------------------------------------------------------------------

    def _files(self, folder: str) -> _Files:
        suffixes = IMAGE_SUFFIXES if {"image", "images"} & set(folder.split("/")) else (".png",)
        return single(list_files(self.root, folder, suffixes, self.faults), self.faults)

    def _nested(self, folder: str) -> _Files:
        """The files in the folders of ``folder``, named FOLDER/KEY."""
        files: _Files = {}
        for inner in list_folders(self.root, folder, self.faults):
            if fault := key_fault(inner):
                self.faults.append(f"{self.root / folder}: the name of its folder {inner!r} {fault}; rename it")
            else:
                files |= {f"{inner}/{key}": path for key, path in self._files(f"{folder}/{inner}").items()}
        return files

    def _samples(self, folder: str, prefix: str) -> _Files:
        """Synthetic files by what follows ``prefix`` in their names."""
        files = self._files(folder)
        for stem in [stem for stem in files if not stem.startswith(prefix)]:
            self.faults.append(f"{files.pop(stem)}: a name in this folder starts with '{prefix}'; rename or remove it")
        return {stem.removeprefix(prefix): path for stem, path in files.items()}
