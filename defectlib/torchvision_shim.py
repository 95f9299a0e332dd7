"""Makes ``import torchvision`` work beside a CPU-only torch. Imported first by every subpackage that needs torch.

The torchvision on PyPI is built against CUDA torch. Beside a CPU-only torch its binary does not load, and the import
then fails, because Python code of its own refers to two operators that the binary would have defined; timm,
transformers, diffusers and segmentation-models-pytorch fall with it. Nothing here calls those operators: declaring
their schemas is enough for all of them to import. Where the binary loads, nothing is done.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _binary_loads() -> bool:
    """Whether torchvision's own binary can be loaded into this torch; true where torchvision is not installed."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    folder = Path(spec.origin).parent
    binaries = [*folder.glob("_C*.so"), *folder.glob("_C*.pyd")]
    try:
        for binary in binaries:
            torch.ops.load_library(str(binary))
    except OSError:
        return False
    return bool(binaries)


def declare_missing_operators() -> torch.library.Library | None:
    """Declare the two schemas if the binary cannot; the library object must be kept, they live as long as it does."""
    if _binary_loads():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


LIBRARY = declare_missing_operators()
