"""A published dataset into the one layout, which everything that trains reads; one product at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import compress
from pathlib import Path

from defectlib import runtime
from defectlib.data import folder
from defectlib.data.describe import describe
from defectlib.data.loading import folder_data
from defectlib.data.pixels import threaded
from defectlib.data.published import labelled_rows, publishers_split, resize, warn_of_thin
from defectlib.data.sample import Sample
from defectlib.data.sources.source import Source
from defectlib.errors import UserError


def convert(
    source: Source, product: str, out: Path, *, size: int | None = None, good: bool = False, shots: int = 5
) -> int:
    """Write the labelled images of one product as a dataset folder, and say how many they are.

    Synthetic pairs and images without annotation stay behind. A split of the publishers that has labelled defects on
    both sides is kept as ``splits/default.json``; where there is none, ``splits/shots-N.json`` is the authors'
    protocol, if every type has images enough for it. Captions are the publishers', or say what is in the mask.

    Args:
        source: The dataset.
        product: One of ``source.classes``.
        out: Folder to write; must not hold anything yet.
        size: Side in pixels to which images and masks are resized, as the release does; None keeps their size.
        good: Also write images whose mask shows no defect, or that are called free of them.
        shots: Training images of each defect type, where the publishers divide nothing (tracker #7 of the release).

    Raises:
        UserError: The product is not there, it has no labelled image, a file is damaged, or ``out`` is in the way.
    """
    chosen = labelled_rows(source, product, good=good)
    if not good:  # which of some datasets only the masks tell
        defective = threaded(lambda row: source.mask(row).any(), chosen, "looking for defects")
        chosen = list(compress(chosen, defective))
        if not chosen:
            raise UserError(f"{source.root}: {product} has no mask that shows a defect; add --good to write the others")
    folders = tuple({str(Path(row.image).parent) for row in chosen})
    for note in source.notes:
        if note.startswith(folders):
            runtime.say(f"warning: {note}")
    record = {"dataset": source.NAME, "licence": source.manifest.licence, "page": source.manifest.page, "size": size}
    split = publishers_split(chosen)
    beside = {"splits/default.json": asdict(split)} if split else {}
    thin: list[tuple[str, ...]] = []

    def samples() -> Iterator[Sample]:
        with runtime.progress(len(chosen), "converting", unit="image") as bar:
            for row in chosen:
                sample = source.sample(row)
                # Of the mask at its own size: made smaller, it shows less of what the image shows.
                sample = replace(sample, caption=sample.caption or describe(sample.mask, sample.classes, product))
                if size is not None:
                    sample, types = resize(sample, size)
                    thin.append(types)
                yield sample
                bar.update()

    folder.write_dataset(out, samples(), provenance=record, beside=beside)
    warn_of_thin(thin, size or 0)
    if split is None:
        try:
            folder_data(out, shots=shots)
        except UserError as error:
            runtime.say(f"{out}: no split of {shots} images of each type was made: {error}")
    return len(chosen)
