"""Pictures of an executed notebook: as light as a page can carry them, and as files for the front page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from nbformat import NotebookNode
from PIL import Image

HEAVY = 100_000
"""Bytes from which on a picture is looked at again; charts, which are mostly paper, have fewer."""
WORTH = 0.6
"""At most this share of a PNG's bytes must be left for it to become a JPEG, whose letters are a little less sharp."""
QUALITY = 90


def lighten(notebook: NotebookNode) -> None:
    """Turn the PNG pictures of ``notebook`` that are photographs rather than charts into JPEG, in place.

    PNG packs what has few colours; noise and photographs fill it, and a page of them would be many megabytes.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            png = base64.b64decode(data.get("image/png", ""))
            if len(png) > HEAVY and len(jpeg := _as_jpeg(png)) < WORTH * len(png):
                del data["image/png"]
                data["image/jpeg"] = base64.b64encode(jpeg).decode()


def export(notebook: NotebookNode, folder: Path) -> None:
    """Write the figures whose cells are tagged ``front-page`` into ``folder``, as files called by their labels."""
    for cell in notebook.cells:
        if "front-page" in cell.metadata.get("tags", ()):
            found = {kind: data for output in cell.outputs for kind, data in output.get("data", {}).items()}
            for kind in ("png", "jpeg"):
                if f"image/{kind}" in found:
                    path = folder / f"{cell.metadata['mystnb']['figure']['name']}.{kind}"
                    path.write_bytes(base64.b64decode(found[f"image/{kind}"]))


def _as_jpeg(png: bytes) -> bytes:
    picture, file = Image.open(io.BytesIO(png)).convert("RGBA"), io.BytesIO()
    paper = Image.new("RGBA", picture.size, "white")  # what is transparent would else turn black
    paper.alpha_composite(picture)
    # Colours at full resolution: outlines are thin and coloured.
    paper.convert("RGB").save(file, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    return file.getvalue()
