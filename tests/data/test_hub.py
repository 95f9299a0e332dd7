"""The hub's layout as it is written: read back by the loader of Defect Spectrum, pair for pair."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defectlib.data import procedural
from defectlib.data.hub import PALETTE, write_hub
from defectlib.data.sources.source import SYNTHETIC, open_source, rows
from defectlib.data.verify import verify_source
from defectlib.store import digests

PRODUCTS = ("washer", "brushed_plate")
#: Images 2 and 5 of each product show other types than 0; six take two rounds of names.
SETS = {name: [procedural.sample(name, "train", i, size=32) for i in range(6)] for name in PRODUCTS}


@pytest.fixture
def hub(tmp_path) -> Path:
    write_hub(tmp_path / "hub", {name: (pairs, {"source": f"test {name}"}) for name, pairs in SETS.items()})
    return tmp_path / "hub"


def test_the_loader_of_defect_spectrum_reads_what_was_written(hub):
    source = open_source("defect_spectrum", hub)
    source.check()
    assert source.notes == []
    assert source.classes == {f"procedural_{name}": procedural.PRODUCTS[name].classes for name in sorted(PRODUCTS)}
    for name, pairs in SETS.items():
        listed = rows(source, product=f"procedural_{name}")
        assert {row.split for row in listed} == {SYNTHETIC}
        for row, pair in zip(listed, pairs, strict=True):
            read = source.sample(row)
            assert np.array_equal(read.image, pair.image)
            assert np.array_equal(read.mask, pair.mask)
            shown = name.replace("_", " ")
            assert read.caption == f"In the image is a generated {shown}. {pair.caption}"


def test_every_file_of_it_is_sound(hub):
    report = verify_source(open_source("defect_spectrum", hub))
    assert (report.images, report.faults, report.warnings) == (12, (), ())


def test_names_are_those_of_the_released_sampler(hub):
    names = sorted(path.name for path in (hub / "synthetic_Procedural" / "washer" / "images").iterdir())
    assert names == [f"samples_image_{k // 4:06}_{k % 4}_0.png" for k in range(6)]


def test_colours_are_labels(hub):
    washer = hub / "synthetic_Procedural" / "washer"
    for number, pair in enumerate(SETS["washer"]):
        name = f"{number // 4:06}_{number % 4}_0.png"
        colours = np.array(Image.open(washer / "masks" / f"samples_mask_{name}"))
        assert np.array_equal(colours, np.array(PALETTE)[pair.mask])
        assert Image.open(washer / "masks_converted_dir" / f"samples_converted_mask_{name}").mode == "L"
    assert len(set(PALETTE)) == 11


def test_class_ids_and_provenance_lie_beside_the_pairs(hub):
    subset = hub / "synthetic_Procedural"
    classes = procedural.PRODUCTS["washer"].classes
    assert json.loads((subset / "washer" / "classes.json").read_text()) == {
        str(number): name for number, name in enumerate(classes, 1)
    }
    assert json.loads((subset / "washer" / "provenance.json").read_text()) == {"source": "test washer"}
    labels = (subset / "synthetic_Procedural.md").read_text()
    assert "## washer" in labels
    assert all(f"| {number} | {name} |" in labels for number, name in enumerate(classes, 1))


def test_the_same_pairs_give_the_same_bytes(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    write_hub(tmp_path / "again", {name: (pairs, {"source": f"test {name}"}) for name, pairs in SETS.items()})
    assert digests(hub) == digests(tmp_path / "again")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        ("classes.json", "synthetic_Procedural/washer/classes.json: no such file; write {"),
        ("images/samples_image_000001_0_0.png", "washer: has no image 'images/samples_image_000001_0_0', which capt"),
        ("masks_converted_dir/samples_converted_mask_000000_2_0.png", "samples_image_000000_2_0.png: has no mask;"),
    ],
)
def test_what_is_lost_is_named(hub, spoil, fault):
    (hub / "synthetic_Procedural" / "washer" / spoil).unlink()
    source = open_source("defect_spectrum", hub)
    assert any(fault in line for line in source.faults), source.faults
    assert "procedural_brushed_plate" in source.classes
