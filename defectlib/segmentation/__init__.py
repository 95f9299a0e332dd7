"""The paper's segmentation baselines (§4.1): models, training, evaluation."""

from defectlib import torchvision_shim as _torchvision_shim  # noqa: F401  (before smp and timm are imported)
