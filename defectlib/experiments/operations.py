"""How many floating-point operations a network takes: of convolutions and matrix products, a multiply-add being two."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from defectlib.clock import counted
from defectlib.data.encode import channels
from defectlib.defectgen.denoiser import build_denoiser
from defectlib.segmentation.models import build
from defectlib.settings import Net

OF_A_STEP = 3
"""A training step in forward passes: on the way back every product is undone towards its weights and its input.

torch counts a way back too, but that of a grouped convolution as if it had no groups, which is many times too much.
"""


def of_denoiser(net: Net, defect_types: int, side: int) -> int:
    """Of one call on one image of ``side`` pixels. The net is never filled: one of any size costs no memory."""
    with FakeTensorMode():
        denoiser = build_denoiser(net, channels(defect_types), seed=0)
        return counted(lambda: denoiser(torch.empty(1, channels(defect_types), side, side), 0))


def of_segmenter(name: str, defect_types: int, side: int, *, training: bool) -> int:
    """Of one image of ``side`` pixels; with ``training`` to all heads, also to those that serve training alone."""
    model = build(name, defect_types)
    if not training:
        return counted(lambda: model.eval()(torch.zeros(1, 3, side, side)))
    # One image alone is too few for batch normalisation.
    return counted(lambda: model.train().heads(torch.zeros(2, 3, side, side))) // 2
