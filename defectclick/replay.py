"""Masks made again from recorded clicks, without a browser: by the same method the same, by another for comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from defectclick.clicks import Clicker
from defectclick.records import read_record
from defectlib.data.folder import read_dataset, write_dataset
from defectlib.data.sample import Sample
from defectlib.errors import UserError


def replay(labelled: Path, clicker: Clicker) -> Iterator[tuple[Sample, Sample]]:
    """Every image of a labelled folder as it was saved, and with the mask that ``clicker`` gives for the same clicks.

    Strokes of the brush are made again as they were.

    Raises:
        UserError: A record is missing, or does not fit its image or the classes; or the folder is no such dataset.
    """
    if not (Path(labelled) / "clicks").is_dir():
        raise UserError(f"{labelled}: no such folder, or none with clicks/; name one that `defectlib click` wrote")
    for saved in read_dataset(labelled):
        path = Path(labelled) / "clicks" / f"{saved.key}.json"
        if not path.exists():
            raise UserError(f"{path}: no such file; only what was labelled by clicks can be replayed")
        record = read_record(path)
        if record.classes != saved.classes[: len(record.classes)]:
            raise UserError(f"{path}: is about the classes {', '.join(record.classes)}; classes.json names others")
        try:
            session = record.replayed(saved.image, clicker)
        except ValueError as error:
            raise UserError(f"{path}: does not fit its image ({error}); remove the image or label it anew") from error
        yield saved, replace(saved, mask=session.index)


def replay_to(labelled: Path, out: Path, clicker: Clicker) -> tuple[int, int]:
    """Write a dataset folder with the masks that ``clicker`` gives for the clicks of a labelled one.

    Returns:
        How many masks are as they were saved, and how many there are.

    Raises:
        UserError: See :func:`replay` and :func:`~defectlib.data.folder.write_dataset`.
    """
    same: list[bool] = []

    def anew() -> Iterator[Sample]:
        for saved, made in replay(labelled, clicker):
            same.append(np.array_equal(saved.mask, made.mask))
            yield made

    write_dataset(out, anew(), provenance={"clicks": str(labelled), "method": clicker.name})
    return sum(same), len(same)
