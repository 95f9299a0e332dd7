"""Confusion matrices of a batch of images, counted where the predictions are."""

from __future__ import annotations

import torch


def image_confusions(target: torch.Tensor, preds: torch.Tensor, classes: int) -> torch.Tensor:
    """Confusion matrix of each image: entry (n, i, j) counts pixels of true class i predicted as j in image n.

    One ``bincount`` for the whole batch. What is no class is counted too, in a border around each matrix, so that
    class ids are checked by looking at the counts and not at every pixel once more.

    Args:
        target: Integers (N, H, W) in 0..classes-1, on the device of ``preds``.
        preds: Integers of the same shape and range; the integer types of the two may differ.
        classes: K + 1, background included.

    Returns:
        int64 (N, classes, classes), on the same device.

    Raises:
        ValueError: The shapes differ, or a value is out of range.
    """
    if target.shape != preds.shape:
        raise ValueError(f"target {tuple(target.shape)} and prediction {tuple(preds.shape)} differ in shape")
    count, side = len(target), classes + 2
    # Ids lie in -1..classes once they are bounded; counted from 1 in from the border they give the cell in the batch.
    # The narrowest type that holds them: what this takes is the passes over memory.
    dtype = torch.int16 if count * side**2 <= torch.iinfo(torch.int16).max else torch.int32
    cells = _bounded(target, classes, dtype).mul_(side).add_(_bounded(preds, classes, dtype))
    corners = torch.arange(count, dtype=dtype, device=cells.device) * side**2 + side + 1
    cells += corners.view(-1, *[1] * (target.ndim - 1))
    counts = torch.bincount(cells.flatten(), minlength=count * side**2).view(count, side, side)
    inner = counts[:, 1:-1, 1:-1]
    if int(inner.sum()) != target.numel():
        _refuse(target, preds, classes)
    return inner.contiguous()


def _bounded(ids: torch.Tensor, classes: int, dtype: torch.dtype) -> torch.Tensor:
    """A copy of ``ids`` as ``dtype``, what is below 0 as -1 and what is above the last class as ``classes``."""
    limits = torch.iinfo(ids.dtype)
    return ids.clamp(max(-1, limits.min), min(classes, limits.max)).to(dtype)


def _refuse(target: torch.Tensor, preds: torch.Tensor, classes: int) -> None:
    for what, ids in (("target", target), ("prediction", preds)):
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= classes:
            raise ValueError(f"{what} has values in {low}..{high}, expected 0..{classes - 1}")
