"""A baseline made ready for a device: the same outputs within a stated tolerance, sooner.

In evaluation mode a batch normalisation is an affine map of each channel, so the convolution before it can do its work;
the network is laid out as channels_last; its arithmetic is bf16 where that keeps the outputs within the tolerance; on
CUDA it is compiled into a CUDA graph, so that the host no longer launches every kernel. On a CPU nothing is compiled:
that costs 60 to 180 s and gains 10 to 20 %.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from defectlib.device import autocast, has_compiler
from defectlib.segmentation.models import Segmenter

TOLERANCE = {"fp32": (1e-3, 1e-3), "bf16": (0.1, 0.02)}
"""By arithmetic: how far the probability of a class may be from that of the model as trained, at any pixel, and the
share of pixels that may change class (see :func:`difference`)."""
MARGIN = 0.1
"""How much likelier than any other a class must be for a pixel to be decided."""


class Optimised(NamedTuple):
    """A faster copy of a model.

    Attributes:
        model: Takes and gives what the model does. On CUDA, its next call may overwrite its last output.
        done: What was done, in words.
        dtype: Its arithmetic, ``fp32`` or ``bf16``, and so the tolerance that its outputs are held to.
    """

    model: nn.Module
    done: list[str]
    dtype: str


@torch.no_grad()
def optimise(model: Segmenter, image: torch.Tensor, dtype: str) -> Optimised:
    """A faster copy of ``model``, which must be in evaluation mode, for the device that it is on.

    Args:
        image: uint8 (1, 3, H, W) on that device, of the size that the copy will be shown.
        dtype: ``fp32`` or ``bf16``; a model whose outputs for ``image`` bf16 would put beyond its tolerance keeps fp32.
    """
    faster = copy.deepcopy(model)
    folded, all_ = fold_batch_norms(faster, image)
    made: nn.Module = faster.to(memory_format=torch.channels_last)
    done = [f"{folded} of {all_} batch normalisations folded", "channels_last"]
    if dtype == "bf16":
        narrow = _Bf16(made, image.device)
        if within(difference(narrow(image), model(image)), dtype):
            made = narrow
            done.append("bf16")
        else:
            dtype = "fp32"
            done.append("fp32, as bf16 is beyond its tolerance")
    if image.device.type == "cuda":
        made, done = _compiled(made, image, done)
    return Optimised(made, done, dtype)


def _compiled(model: nn.Module, image: torch.Tensor, done: list[str]) -> tuple[nn.Module, list[str]]:
    """``model`` compiled into a CUDA graph; as it is, where torch cannot do that here, and ``done`` says why."""
    if not has_compiler():
        return model, [*done, "not compiled: Triton or a C compiler is missing"]
    made = torch.compile(model, mode="reduce-overhead", dynamic=False)
    try:
        made(image)
    except torch._dynamo.exc.TorchDynamoException as error:
        return model, [*done, f"not compiled: {str(error).strip().partition(chr(10))[0]}"]
    return made, [*done, "compiled, CUDA graph"]


def difference(logits: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    """How far ``logits`` (N, K + 1, H, W) are from the ``reference``.

    Returns:
        ``probability``: greatest absolute difference of a probability. ``changed``: share of pixels that are of another
        class, though the reference was decided by more than :data:`MARGIN`; which of two equal classes is named first
        is left to chance.
    """
    ours, theirs = logits.float().softmax(1), reference.to(logits.device).float().softmax(1)
    first, second = theirs.topk(2, dim=1).values.unbind(1)
    changed = (ours.argmax(1) != theirs.argmax(1)) & (first - second > MARGIN)
    return {"probability": float((ours - theirs).abs().max()), "changed": float(changed.float().mean())}


def within(found: Mapping[str, float], dtype: str) -> bool:
    """Whether a :func:`difference` is within :data:`TOLERANCE`; one that is no number is not."""
    probability, changed = TOLERANCE[dtype]
    return found["probability"] <= probability and found["changed"] <= changed


# Folding ------------------------------------------------------------------------------------------------------------


def fold_batch_norms(model: Segmenter, image: torch.Tensor) -> tuple[int, int]:
    """Fold batch normalisations into the convolutions before them, in place.

    Which convolution that is, is read off the way of ``image`` and not guessed from names: the normalisation's input
    must be the very output of a convolution that nothing else reads, and both must have run once.

    Returns:
        How many were folded, and how many the image went through.

    Raises:
        ValueError: The model is in training mode, where normalisation depends on the batch.
    """
    if model.training:
        raise ValueError("batch normalisation can be folded in evaluation mode only; call eval() first")
    modules = dict(model.named_modules())
    seen = _observed(model, image)
    for norm, conv in seen.pairs().items():
        transposed = type(modules[conv]) is nn.ConvTranspose2d
        _replace(model, conv, fuse_conv_bn_eval(modules[conv], modules[norm], transposed))
        _replace(model, norm, nn.Identity())
    return len(seen.pairs()), len(seen.read_by)


def parameters_read(model: Segmenter, image: torch.Tensor) -> int:
    """How many scalars of its parameters ``model`` reads for ``image``."""
    uses = _observed(model, image).uses
    return sum(weight.numel() for weight in model.parameters() if uses[id(weight)])


def _observed(model: Segmenter, image: torch.Tensor) -> _Observer:
    """What happens while ``model`` predicts ``image``."""
    observer = _Observer()
    handles = []
    for name, module in model.named_modules():
        if type(module) is nn.BatchNorm2d:
            handles.append(module.register_forward_pre_hook(partial(observer.norm_reads, name)))
        elif type(module) in (nn.Conv2d, nn.ConvTranspose2d):
            handles.append(module.register_forward_hook(partial(observer.conv_makes, name)))
    try:
        with torch.no_grad(), observer:
            model(image)
    finally:
        for handle in handles:
            handle.remove()
    return observer


class _Observer(TorchDispatchMode):
    """Which convolution makes which tensor, which normalisation reads which, how many operations read each.

    Tensors go by their ids, and none dies meanwhile, so that no id comes twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.uses: Counter[int] = Counter()  # operations, by the tensor that they read
        self.made_by: dict[int, str] = {}  # convolution, by the tensor that it makes
        self.read_by: dict[str, int] = {}  # tensor, by the normalisation that reads it
        self.runs: Counter[str] = Counter()  # of each module
        self._alive: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Count, and go on."""
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, torch.Tensor)]
        self.uses.update({id(tensor) for tensor in tensors})
        out = func(*args, **(kwargs or {}))
        self._alive += [*tensors, out]
        return out

    def conv_makes(self, name: str, module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        """A convolution has run."""
        self.made_by[id(output)] = name
        self.runs[name] += 1
        self._alive.append(output)

    def norm_reads(self, name: str, module: nn.Module, inputs: tuple) -> None:
        """A normalisation is about to run."""
        self.read_by[name] = id(inputs[0])
        self.runs[name] += 1

    def pairs(self) -> dict[str, str]:
        """By the name of a normalisation, the name of the convolution that it can be folded into."""
        candidates = {norm: (self.made_by.get(tensor), self.uses[tensor]) for norm, tensor in self.read_by.items()}
        return {
            norm: conv
            for norm, (conv, uses) in candidates.items()
            if conv is not None and uses == 1 and self.runs[norm] == self.runs[conv] == 1
        }


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


class _Bf16(nn.Module):
    """The network's products and convolutions in bf16; what needs precision stays float32, by torch's own list."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.model = model
        self.device = device

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See :class:`~defectlib.segmentation.models.Segmenter`."""
        with autocast(self.device, "bf16"):
            return self.model(images)
