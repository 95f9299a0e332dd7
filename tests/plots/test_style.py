"""Colours that can be told apart by everybody, and figures that are shown once."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from defectlib import plots
from defectlib.plots import style

#: Linear RGB as seen without one kind of cone (Machado, Oliveira, Fernandes 2009, severity 1).
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(rgb, sight):
    """CIELAB (D65) of sRGB colours (N, 3) as seen by ``sight``."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.clip(linear @ np.array(sight).T, 0, 1) @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("sight", VISION)
def test_any_two_defect_colours_can_be_told_apart(sight):
    colours = np.array([style.defect_colour(k)[:3] for k in range(1, 9)])
    seen = lab(colours, VISION[sight])
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest >= 28


def test_background_is_transparent_and_types_are_opaque():
    assert style.defect_colour(0)[3] == 0
    assert {style.defect_colour(k)[3] for k in range(1, 30)} == {1}


def test_colours_repeat_after_the_eighth():
    assert style.defect_colour(9) == style.defect_colour(1)


def test_use_sets_the_look():
    with mpl.rc_context():
        mpl.rcdefaults()
        style.use()
        assert mpl.rcParams["savefig.facecolor"] == "white"
        assert mpl.rcParams["figure.dpi"] == style.DPI
        assert not mpl.rcParams["axes.spines.top"]


def test_pyplot_does_not_know_new_figures():
    figure, grid = style.panels(2, 3, 4, 5)
    assert (grid.shape, tuple(figure.get_size_inches())) == ((2, 3), (4, 5))
    assert plt.get_fignums() == []


def test_plots_load_no_torch():
    modules = sorted(path.stem for path in Path(plots.__file__).parent.glob("*.py") if path.stem != "__init__")
    code = f"import sys; from defectlib.plots import {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert len(modules) >= 8
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_colours_come_from_the_palette_alone():
    """Greys are free; every other colour of a figure or a widget is one of the style's."""
    elsewhere = []
    for path in sorted(Path(plots.__file__).parent.glob("*.py")):
        if path.name != "style.py":
            for colour in re.findall(r"#(?:[0-9a-fA-F]{3}){1,2}\b", path.read_text(encoding="utf-8")):
                red, green, blue = mpl.colors.to_rgb(colour)
                if not red == green == blue:
                    elsewhere.append(f"{path.name}: {colour}")
    assert elsewhere == []
