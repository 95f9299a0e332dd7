"""Mask2Former on HRNet (Cheng et al. 2022): queries that each name a class and draw its mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, TimmBackboneConfig
from transformers.utils import logging

from defectlib.segmentation.hrnet import BACKBONE

_POINTS = 2048
"""Where masks are compared in training. The paper takes 12,544, in images of 512 px and more."""


class Queries(NamedTuple):
    """What the queries of one decoder layer say.

    Attributes:
        classes: (N, Q, C + 1), logits; the last is *no class*.
        masks: (N, Q, H / 4, W / 4), logits.
    """

    classes: torch.Tensor
    masks: torch.Tensor

    def over_image(self, x: torch.Tensor, sides: tuple[int, int]) -> Queries:
        """The same, with masks over the upper left ``sides`` of ``x`` (N, 3, H, W) alone, which are not padding."""
        classes, masks = self.classes.float(), self.masks.float()
        if tuple(x.shape[-2:]) != sides:  # what is cut off need not be a whole number of the masks' pixels
            masks = functional.interpolate(masks, size=x.shape[-2:], mode="bilinear", align_corners=False)
            masks = masks[..., : sides[0], : sides[1]]
        return Queries(classes, masks)


class Mask2Former(nn.Module):
    """The network of transformers on a backbone of timm; every class, the background too, is a region to be drawn.

    Args:
        outputs: Number of output channels, C.
        pretrained: Start the backbone from ImageNet weights.
    """

    def __init__(self, outputs: int, pretrained: bool = False) -> None:
        super().__init__()
        backbone = TimmBackboneConfig(
            backbone=BACKBONE, out_indices=[1, 2, 3, 4], use_pretrained_backbone=pretrained, features_only=True
        )
        level = logging.get_verbosity()
        logging.set_verbosity_error()  # it says that any backbone but Swin may not fit
        try:
            config = Mask2FormerConfig(backbone_config=backbone, num_labels=outputs, train_num_points=_POINTS)
            self.network = Mask2FormerForUniversalSegmentation(config)
        finally:
            logging.set_verbosity(level)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (N, outputs, H / 4, W / 4) of normalised images ``x`` (N, 3, H, W), sides multiples of 32.

        The semantic inference of the paper: each query's mask, weighted by how surely it is of the class. They are
        its probabilities without normalisation, as logarithms, so that they can be read as logits.
        """
        found = self.heads(x)[-1]
        classes, masks = found.classes.float().softmax(dim=-1)[..., :-1], found.masks.float().sigmoid()
        return torch.einsum("nqc,nqhw->nchw", classes, masks).clamp(min=1e-6).log()

    def heads(self, x: torch.Tensor) -> list[Queries]:
        """What the queries say before the first decoder layer and after each; :meth:`forward` uses the last."""
        found = self.network(x, output_auxiliary_logits=True)
        earlier = found.auxiliary_logits
        layers = [Queries(layer["class_queries_logits"], layer["masks_queries_logits"]) for layer in earlier]
        return [*layers, Queries(found.class_queries_logits, found.masks_queries_logits)]
