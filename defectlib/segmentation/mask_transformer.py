"""Segmenter (Strudel et al. 2021, arXiv:2105.05633): a vision transformer whose classes are tokens among the patches.

The backbone is timm's. The mask transformer, which no library that is kept up has, is written here from the paper.
"""

from __future__ import annotations

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models.vision_transformer import Block
from torch import nn
from torch.nn import functional

BACKBONE = "vit_tiny_patch16_384.augreg_in21k_ft_in1k"
"""ViT-Tiny of patches of 16 px, of which the authors' Seg-T/16 starts too: ImageNet-21k, then ImageNet-1k at 384 px."""
LAYERS = 2
HEAD_WIDTH = 64
"""Channels of one attention head, as in the backbone."""
TWO_CLASSES_EPS = 0.1
"""Added to the variance over two classes. The norm of two numbers is the sign of their difference, which has no slope
to learn from: with the usual 1e-5, training stays where all is background. With 0.1 the sign is a smooth one."""


class MaskTransformer(nn.Module):
    """The decoder (§3.2): patches and classes attend to each other, and a mask is how much each patch is like a class.

    Args:
        outputs: Number of classes, at least 2.
        width: Channels of the patches' encodings.
    """

    def __init__(self, outputs: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, width)
        self.classes = nn.Parameter(torch.empty(1, outputs, width))
        self.blocks = nn.Sequential(*(Block(width, width // HEAD_WIDTH, qkv_bias=True) for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(width)
        self.project_patches = nn.Linear(width, width, bias=False)
        self.project_classes = nn.Linear(width, width, bias=False)
        self.norm_masks = nn.LayerNorm(outputs, eps=1e-5 if outputs > 2 else TWO_CLASSES_EPS)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.classes, std=0.02)
        for projection in (self.project_patches, self.project_classes):
            nn.init.normal_(projection.weight, std=width**-0.5)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Encodings (N, P, width) → masks (N, P, outputs), normalised over the classes.

        The scalar products of vectors of length 1 lie within ±1, too close together for a softmax; the layer
        normalisation over the classes gives those of each patch a learned scale.
        """
        count = patches.shape[1]
        tokens = torch.cat([self.project(patches), self.classes.expand(len(patches), -1, -1)], dim=1)
        tokens = self.norm(self.blocks(tokens))
        patches = functional.normalize(self.project_patches(tokens[:, :count]), dim=-1)
        classes = functional.normalize(self.project_classes(tokens[:, count:]), dim=-1)
        return self.norm_masks(patches @ classes.mT)


class ViTSegmenter(nn.Module):
    """ViT-Tiny with the mask transformer, the paper's Seg-T-Mask/16.

    Args:
        outputs: Number of output channels, at least 2.
        pretrained: Start the backbone from ImageNet weights, which are downloaded on first use.

    Raises:
        OSError: The weights cannot be fetched.
    """

    def __init__(self, outputs: int, pretrained: bool = False) -> None:
        super().__init__()
        self.backbone = timm.create_model(BACKBONE, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
        self.decoder = MaskTransformer(outputs, self.backbone.embed_dim)
        scale, shift = self._renormalisation()
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, outputs, H / 16, W / 16).

        Args:
            x: (N, 3, H, W), normalised by ImageNet's channel statistics, sides divisible by 16. The backbone's
                positions, learned on a grid of 24 × 24 patches, are interpolated to any other.
        """
        rows, columns = (side // self.backbone.patch_embed.patch_size[0] for side in x.shape[-2:])
        tokens = self.backbone.forward_features(x * self.scale + self.shift)
        masks = self.decoder(tokens[:, self.backbone.num_prefix_tokens :])
        return masks.mT.unflatten(-1, (rows, columns))

    def _renormalisation(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and shift from ImageNet's statistics to those the backbone's weights were trained with."""
        config = self.backbone.pretrained_cfg
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, config["mean"], config["std"])
        )
        return std / own_std, (mean - own_mean) / own_std


def _initialise(module: nn.Module) -> None:
    """The vision transformer's initialisation, as the backbone's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
