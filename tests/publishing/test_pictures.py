"""Pictures of a page: photographs become light, charts stay exact."""

from __future__ import annotations

import base64
import io

import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from defectlib.publishing.pictures import HEAVY, WORTH, export, lighten


def png(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def shown(*pictures: str):
    outputs = [new_output("display_data", {"image/png": picture, "text/plain": "a picture"}) for picture in pictures]
    return new_notebook(cells=[new_markdown_cell("text"), new_code_cell("1", outputs=outputs)])


def photograph() -> np.ndarray:
    """Smooth shades under fine grain, half of it transparent."""
    rows, columns = np.mgrid[:400, :400] / 400
    shades = np.stack([rows, columns, 1 - rows, columns > 0.5], axis=-1)
    grain = np.random.default_rng(0).normal(0, 0.02, (400, 400, 4)) * [1, 1, 1, 0]
    return (255 * (shades + grain)).clip(0, 255).astype(np.uint8)


def test_a_photograph_becomes_a_jpeg_on_white_paper_and_a_chart_stays():
    grey = np.full((600, 600, 3), 255, np.uint8)
    grey[100:500:20] = 0
    notebook = shown(png(photograph()), png(grey))
    heavy, chart = notebook.cells[1].outputs
    before = len(base64.b64decode(heavy.data["image/png"]))
    assert before > HEAVY
    kept = chart.data["image/png"]
    lighten(notebook)
    assert set(heavy.data) == {"image/jpeg", "text/plain"}
    assert chart.data["image/png"] == kept
    file = base64.b64decode(heavy.data["image/jpeg"])
    assert len(file) < WORTH * before
    seen = np.asarray(Image.open(io.BytesIO(file)))
    assert seen.shape == (400, 400, 3)
    assert seen[:, :190].min() > 240  # what was transparent
    expected = photograph()[:, 210:, :3].astype(float)
    assert np.abs(seen[:, 210:] - expected).mean() < 4


def test_a_heavy_picture_that_gains_little_stays():
    noise = np.random.default_rng(0).integers(0, 2, (1000, 1000), np.uint8) * 255
    notebook = shown(png(np.stack([noise] * 3, axis=-1)))
    (output,) = notebook.cells[1].outputs
    assert len(base64.b64decode(output.data["image/png"])) > HEAVY
    lighten(notebook)
    assert set(output.data) == {"image/png", "text/plain"}


def test_figures_for_the_front_page_become_files(tmp_path):
    notebook = shown(png(photograph()))
    export(notebook, tmp_path)
    assert not list(tmp_path.iterdir())
    notebook.cells[1].metadata = {"tags": ["front-page"], "mystnb": {"figure": {"name": "fig-x"}}}
    export(notebook, tmp_path)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "fig-x.png")), photograph())
