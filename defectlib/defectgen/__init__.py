"""Defect-Gen (paper §3.4): two denoisers, one that sees the whole image and one that sees a patch, and a switch."""

from defectlib import torchvision_shim as _torchvision_shim  # noqa: F401  (before diffusers is imported)
