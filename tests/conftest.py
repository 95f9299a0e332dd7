"""Before any test module imports a library that imports torchvision."""

from defectlib import torchvision_shim  # noqa: F401
