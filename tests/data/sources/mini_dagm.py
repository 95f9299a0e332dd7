"""DAGM 2007 in small, with the lists that go with its label files."""

from pathlib import Path, PurePosixPath

import numpy as np

from tests.data.sources import miniature

ELLIPSE = (11.0, 9.0, 6.0, 4.0)  # centre x, y and half axes of every label, in pixels


def write_dagm(root: Path) -> Path:
    miniature.write(root, "dagm", is_mask=lambda path: "/Label/" in path, paint=paint)
    for folder in {line.rsplit("/", 2)[0] for line in miniature.listed("dagm") if line.endswith("Labels.txt")}:
        write_list(root / folder)
    return root


def paint(_: str) -> np.ndarray:
    x, y = np.meshgrid(np.arange(miniature.SIZE[0]), np.arange(miniature.SIZE[1]))
    inside = ((x - ELLIPSE[0]) / ELLIPSE[2]) ** 2 + ((y - ELLIPSE[1]) / ELLIPSE[3]) ** 2 <= 1
    return inside.astype(np.uint8) * np.uint8(255)


def write_list(folder: Path) -> None:
    """Labels.txt as published: the class number, then a line per image by tabs, with carriage returns."""
    lines = [folder.parent.name.removeprefix("Class")]
    for image in sorted(folder.glob("*.PNG")):
        label = folder / "Label" / f"{image.stem}_label.PNG"
        flag, name = (1, label.name) if label.exists() else (0, "0")
        lines.append(f"{int(PurePosixPath(image).stem)}\t{flag}\t{image.name}\t{flag}\t{name}")
    (folder / "Label" / "Labels.txt").write_text("\r\n".join(lines) + "\r\n", newline="")
