"""Cotton-Fabric in small."""

from pathlib import Path

from tests.data.sources import miniature


def write_cotton(root: Path) -> Path:
    return miniature.write(root, "cotton", is_mask=lambda _: False)
