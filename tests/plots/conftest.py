"""Real samples of the embedded dataset, and figures drawn without a screen."""

from __future__ import annotations

import matplotlib as mpl
import pytest

from defectlib.data import procedural
from defectlib.data.sample import Sample

mpl.use("Agg")


@pytest.fixture(scope="session")
def samples() -> tuple[Sample, ...]:
    return tuple(procedural.sample("softgel", "train", index, size=32) for index in range(10))
