"""Arrays that need not fit into memory: kept in a file that is mapped, of which the system holds what is in use."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np

from defectlib.store import default_root


def mapped(arrays: Iterable[np.ndarray], dtype: type[np.generic] = np.uint8) -> list[np.ndarray]:
    """Copies of ``arrays`` as ``dtype`` in a mapped file, of which one at a time is in memory while it is written.

    The file has no name: it is gone with the arrays or with the process, however that ends. It lies below the store's
    root, as temporary folders are memory themselves on many systems.
    """
    root, shapes = default_root(), []
    with contextlib.suppress(OSError):
        root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root if os.access(root, os.W_OK) else None) as file:
        for array in arrays:
            shapes.append(array.shape)
            file.write(np.ascontiguousarray(array, dtype))
        if not file.tell():
            return [np.empty(shape, dtype) for shape in shapes]
        file.flush()
        whole = np.frombuffer(mmap.mmap(file.fileno(), 0), dtype)
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(whole, ends[:-1]), shapes, strict=True)]


def defect_pixels(
    masks: Iterable[np.ndarray],
    defect_types: int,
    parts: Callable[[np.ndarray], list[np.ndarray]] = lambda where: [np.argwhere(where)],
) -> dict[int, list[tuple[int, list[np.ndarray]]]]:
    """Rows and columns of all defects, int32 (P, 2) and :func:`mapped`.

    Args:
        masks: uint8 (H, W) each.
        defect_types: K.
        parts: Pixels (P, 2) of each part of a region, bool (H, W), that is not empty; by default all are one part.

    Returns:
        By each type that occurs, in order, the number of every mask that shows it, with its parts there.
    """
    found: list[tuple[int, int, int]] = []

    def pixels() -> Iterator[np.ndarray]:
        for number, mask in enumerate(masks):
            for kind in range(1, defect_types + 1):
                where = mask == kind
                if where.any():
                    regions = parts(where)
                    found.append((kind, number, len(regions)))
                    yield from regions

    stored = iter(mapped(pixels(), np.int32))
    by_type: dict[int, list[tuple[int, list[np.ndarray]]]] = {}
    for kind, number, count in found:
        by_type.setdefault(kind, []).append((number, list(islice(stored, count))))
    return dict(sorted(by_type.items()))
