"""Cotton-Fabric: photographs of the defects that Cotton Incorporated's glossary explains, without annotation.

Cotton Incorporated, "Standard Fabric Defect Glossary".
https://www.cottoninc.com/quality-products/textile-resources/fabric-defect-glossary

There is no archive. The pictures stand on web pages, and Defect Spectrum's copy of 89 of them tells how to name them::

    00987_0047_Thick-Place.jpg    a running number, the number of the picture in the glossary, the glossary's term

Every image shows a defect, and nothing tells where: all rows are unlabelled, which keeps them out of every pairing of
images and masks. The term is not a label either. Defect Spectrum sorts the same images into two types of its own and
the terms into none, so here the term is kept in words, as the caption. (Its masks are read by the loader of
Defect Spectrum.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from defectlib.data.listing import IMAGE_SUFFIXES, list_files, single
from defectlib.data.sources.source import UNLABELLED, Row, Source

PRODUCT = "cotton_fabric"

_STEM = re.compile(r"\d{5}_\d{4}_(?P<term>[A-Z][A-Za-z]*(-[A-Za-z]+)*)", re.ASCII)


def term_of(stem: str) -> str | None:
    """The glossary's term in the name of an image, in words (``thick place``); None where the name has none."""
    match = _STEM.fullmatch(stem)
    return match["term"].replace("-", " ").lower() if match else None


class CottonFabric(Source):
    """The pictures of the glossary; ``root`` holds them side by side."""

    NAME = "cotton"

    def _rows(self) -> Iterator[Row]:
        for stem, path in single(list_files(self.root, "", IMAGE_SUFFIXES, self.faults), self.faults).items():
            if term := term_of(stem):
                yield Row(PRODUCT, "", stem, str(path), "", UNLABELLED, stem, f"cotton fabric, {term}")
            else:
                self.faults.append(f"{path}: is not named as 00987_0047_Thick-Place is; rename or remove it")
