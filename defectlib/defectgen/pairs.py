"""From a generator to a dataset folder: batch by batch, in flat memory, going on where a kill left off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from defectlib import runtime
from defectlib.data.describe import describe
from defectlib.data.folder import write_dataset
from defectlib.data.loading import load_train
from defectlib.data.sample import Sample
from defectlib.settings import Pairs
from defectlib.store import UNFINISHED, provenance, read_sealed, write_sealed

#: The pairs of those numbers: images uint8 (N, H, W, 3) and masks uint8 (N, H, W).
Draw = Callable[[range], tuple[np.ndarray, np.ndarray]]


def write_drawn(draw: Draw, settings: Pairs, out: Path, source: str, what: str) -> None:
    """Draw ``settings.count`` pairs into the dataset folder ``out/dataset``, as synthetic pairs of ``source``.

    Args:
        draw: Called for one batch after another; what a kill interrupts is drawn again.
        what: Said beside the progress bar.
    """
    product = load_train(settings.data)[0]
    record = {"source": source, **provenance(settings)}
    samples = (
        Sample(key, image, mask, product.classes, product.product, describe(mask, product.classes, product.product))
        for key, image, mask in _pairs(draw, settings, out / UNFINISHED, what)
    )
    write_dataset(out / settings.dataset, samples, provenance=record)


def _pairs(draw: Draw, settings: Pairs, unfinished: Path, what: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every pair with its key, one batch in memory at a time; batches done before a kill are read back."""
    unfinished.mkdir(parents=True, exist_ok=True)
    with runtime.progress(settings.count, what, unit="pair") as bar:
        for indices in runtime.batches(settings.count, settings.batch):
            # The batch size is in the name: a resumed run with another one must not mistake one batch for another.
            path = unfinished / f"{indices.start:06}-{settings.batch}.npz"
            images, masks = _read_batch(path) or _draw_batch(draw, indices, path)
            bar.update(len(indices))
            for k, image, mask in zip(indices, images, masks, strict=True):
                yield f"synthetic_{k:06}", image, mask


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    content = read_sealed(path)
    if content is None:
        return None  # not there, cut in half, or not what was written: drawn again
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        return arrays["images"], arrays["masks"]


def _draw_batch(draw: Draw, indices: range, path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, masks = draw(indices)
    content = BytesIO()
    np.savez(content, images=images, masks=masks)
    write_sealed(path, content.getvalue())
    return images, masks
