"""Dataset folders that several tests need."""

from pathlib import Path

import pandas as pd
import pytest

from defectlib import runtime
from defectlib.data import folder, split
from tests.data.miniatures import write_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "parts")


@pytest.fixture(scope="session")
def magnetic_tile() -> Path:
    """The 555 images of magnetic tiles that stand beside the checkout of those who have them."""
    place = runtime.REPOSITORY.parent / "shared" / "data" / "magnetic_tile"
    if not (place / "classes.json").is_file():
        pytest.skip(f"the magnetic tile dataset is not at {place}")
    return place


@pytest.fixture(scope="session")
def magnetic_tile_table(magnetic_tile: Path) -> pd.DataFrame:
    """Its class table."""
    return split.class_table(folder.index(magnetic_tile), folder.read_classes(magnetic_tile))
