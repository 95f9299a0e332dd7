"""What the baselines minimise: cross-entropy plus Dice over pixels, or Mask2Former's own loss over matched masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from segmentation_models_pytorch.losses import MULTICLASS_MODE, DiceLoss
from torch.nn import functional

from defectlib.segmentation.mask2former import Mask2Former, Queries
from defectlib.segmentation.models import Segmenter

HEAVIEST_CLASS = 4.0
"""Greatest weight of a class in the cross-entropy, relative to the most frequent class."""


class PixelLoss:
    """Weighted cross-entropy plus Dice over the classes that the batch holds, of the logits and of auxiliary heads.

    Args:
        weights: float32 (K + 1,), of classes in the cross-entropy.
        auxiliary: Weight of every head but the first.
    """

    def __init__(self, weights: torch.Tensor, auxiliary: float = 0.0) -> None:
        self.weights = weights
        self.auxiliary = auxiliary
        self.dice = DiceLoss(MULTICLASS_MODE)

    def __call__(self, heads: Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of ``heads``, float32 logits (N, K + 1, H, W) each, and ``target`` int64 (N, H, W)."""
        main, *others = (self._of(logits, target) for logits in heads)
        return main + self.auxiliary * sum(others)

    def _of(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, target, weight=self.weights) + self.dice(logits, target)


class MatchingLoss:
    """Mask2Former's: every class in an image is a mask that one query must name and draw, the others name none.

    Queries and masks are matched by the Hungarian method; cross-entropy of classes, binary cross-entropy and Dice of
    masks at sampled points, after each decoder layer alike (Cheng et al. 2022, §3.2). Rare classes need no weight: each
    counts as one mask, however small. The matching and the loss are those of transformers.
    """

    def __init__(self, net: Mask2Former) -> None:
        self.of_layers = net.network.get_loss_dict

    def __call__(self, layers: Sequence[Queries], target: torch.Tensor) -> torch.Tensor:
        """Scalar loss of what the queries say after each of the ``layers`` and ``target`` int64 (N, H, W)."""
        present = [mask.unique() for mask in target]
        masks = [(mask == classes[:, None, None]).float() for mask, classes in zip(target, present, strict=True)]
        *earlier, last = layers
        auxiliary = [{"class_queries_logits": q.classes, "masks_queries_logits": q.masks} for q in earlier]
        return sum(self.of_layers(last.masks, last.classes, masks, present, auxiliary).values())


def criterion(model: Segmenter, weights: torch.Tensor, auxiliary: float) -> Callable[..., torch.Tensor]:
    """The loss of what :meth:`Segmenter.heads` gives, called with that and the target.

    Args:
        model: Decides which loss it is.
        weights: Of classes, see :func:`class_weights`; of no use to Mask2Former.
        auxiliary: See :class:`~defectlib.segmentation.models.ModelSpec`.
    """
    return MatchingLoss(model.net) if isinstance(model.net, Mask2Former) else PixelLoss(weights, auxiliary)


def class_weights(masks: Sequence[torch.Tensor], classes: int) -> torch.Tensor:
    """Cross-entropy weights, float32 (classes,): 1 / sqrt(share of pixels), 1 for the most frequent class.

    No weight exceeds :data:`HEAVIEST_CLASS`, which is also that of a class that does not occur. They come from the
    real pairs alone, so that both arms of a comparison minimise the same loss.
    """
    pixels = sum(torch.bincount(mask.flatten().cpu(), minlength=classes) for mask in masks).double()
    return (pixels.max() / pixels).sqrt().clamp(max=HEAVIEST_CLASS).float()
