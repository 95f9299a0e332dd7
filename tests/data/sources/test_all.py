"""What holds for every published dataset, on a small copy in its true layout: the table, the samples, the faults."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from defectlib.data import folder, loading, verify
from defectlib.data.convert import convert
from defectlib.data.count import by_product, count, survey
from defectlib.data.listing import IMAGE_SUFFIXES, key_fault
from defectlib.data.sources.manifest import names, read_manifest
from defectlib.data.sources.source import GOOD, SYNTHETIC, UNLABELLED, Row, open_source
from defectlib.errors import UserError
from defectlib.plots import paper
from tests.data.miniatures import message

#: Those whose masks are image files; VISION draws its masks from polygons, and the glossary of Cotton has none.
WITH_MASK_FILES = tuple(name for name in names() if name not in ("vision", "cotton"))


@pytest.fixture
def write(tmp_path):
    """From a dataset's name to the root of its small copy."""

    def writer(name: str) -> Path:
        module = importlib.import_module(f"tests.data.sources.mini_{name}")
        return getattr(module, f"write_{name}")(tmp_path / name)

    return writer


def labelled(source) -> Row:
    """A row with a defect."""
    rows = source.table.itertuples(index=False, name="Row")
    return next(row for row in rows if row.mask and row.split != SYNTHETIC and source.mask(row).any())


def test_every_row_of_table_1_has_a_loader():
    rows = [read_manifest(name).row for name in names()]
    assert sorted(row for row in rows if row) == sorted(paper.table1().index)


@pytest.mark.parametrize("name", names())
def test_manifest(name):
    manifest = read_manifest(name)
    assert manifest.name == name
    assert manifest.page.startswith("https://")
    assert manifest.sources
    stated = [product.defective for product in manifest.products.values()]
    if manifest.defective is not None and None not in stated:
        assert sum(stated) == manifest.defective or manifest.differs


@pytest.mark.parametrize("name", names())
def test_the_small_copy_is_whole(write, name):
    source = open_source(name, write(name))
    assert source.faults == []
    assert not source.table.duplicated(["product", "key"]).any()
    assert [key for key in source.table["key"] if key_fault(key)] == []
    assert set(source.table["product"]) == set(source.classes) <= set(source.manifest.products)
    assert all(Path(path).is_file() for path in [*source.table["image"], *filter(None, source.table["mask"])])
    report = verify.verify_source(source)
    assert report.faults == ()
    assert report.images == len(source.table)


@pytest.mark.parametrize("name", names())
def test_every_labelled_row_is_a_sample(write, name):
    source = open_source(name, write(name))
    for row in source.table.itertuples(index=False, name="Row"):
        if row.label == UNLABELLED:
            assert "has no annotation" in message(source.sample, row)
            continue
        sample = source.sample(row)
        assert (sample.key, sample.product, sample.caption) == (row.key, row.product, row.caption)
        assert np.array_equal(sample.mask, source.mask(row))
        if row.label == GOOD:
            assert not sample.mask.any()


@pytest.mark.parametrize("name", names())
def test_counts_agree_with_counting_sample_by_sample(write, name):
    source = open_source(name, write(name))
    surveyed = survey(source)
    rows = [row for row in source.table.itertuples(index=False, name="Row") if row.label != UNLABELLED]
    real = [source.sample(row) for row in rows if row.split != SYNTHETIC]
    total = count(surveyed, source.manifest.annotation)
    assert total.defective == sum(bool(sample.present) for sample in real)
    assert total.types == len({(sample.product, kind) for sample in real for kind in sample.present})
    assert total.several_types == sum(len(sample.present) > 1 for sample in real)
    assert total.synthetic == sum(bool(source.mask(row).any()) for row in rows if row.split == SYNTHETIC)
    assert by_product(surveyed, source.manifest.annotation)["defective"].sum() == total.defective


@pytest.mark.parametrize("name", [name for name in names() if name != "cotton"])
def test_converted_to_the_one_layout(write, tmp_path, name):
    source = open_source(name, write(name))
    row, out = labelled(source), tmp_path / "out"
    written = convert(source, row.product, out, good=True)
    assert verify.check(out).images == written
    found = {sample.key: sample for sample in folder.read_dataset(out)}
    sample = source.sample(row)
    assert np.array_equal(found[row.key].image, sample.image)
    assert np.array_equal(found[row.key].mask, sample.mask)
    assert all(sample.caption and sample.product == row.product for sample in found.values())
    assert folder.read_classes(out) == source.classes[row.product]


def test_the_publishers_split_is_kept(write, tmp_path):
    source = open_source("vision", write("vision"))
    product = labelled(source).product
    convert(source, product, tmp_path / "out")
    data = loading.folder_data(tmp_path / "out")
    sides = source.table[source.table["product"] == product].set_index("key")["split"]
    assert {sides[sample.key] for sample in loading.load_train(data)} == {"train"}
    assert {sides[sample.key] for sample in loading.load_eval(data)} == {"val"}


def test_squashed_as_the_release_does(write, tmp_path):
    source = open_source("mvtec_ad", write("mvtec_ad"))
    convert(source, "screw", tmp_path / "out", size=32)
    shapes = {(sample.image.shape, sample.mask.shape) for sample in folder.read_dataset(tmp_path / "out")}
    assert shapes == {((32, 32, 3), (32, 32))}


def test_what_cannot_be_converted(write, tmp_path):
    source = open_source("mvtec_ad", write("mvtec_ad"))
    assert "unknown product 'scrw': did you mean 'screw'" in message(convert, source, "scrw", tmp_path / "out")
    cotton = open_source("cotton", write("cotton"))
    product = next(iter(cotton.classes))
    assert "has no image with an annotated defect" in message(convert, cotton, product, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Faults -------------------------------------------------------------------------------------------------------------


def faults(name: str, root: Path) -> list[str]:
    found = verify.verify_source(open_source(name, root)).faults
    assert all("\n" not in fault for fault in found)
    return list(found)


@pytest.mark.parametrize("name", names())
def test_no_folder_and_an_empty_folder(tmp_path, name):
    (tmp_path / "empty").mkdir()
    assert "no such folder" in message(open_source, name, tmp_path / "nowhere")
    try:
        found = open_source(name, tmp_path / "empty").faults
    except UserError as error:
        found = [str(error)]
    assert found
    assert all(str(tmp_path / "empty") in fault for fault in found)


@pytest.mark.parametrize("name", names())
def test_a_truncated_image(write, name):
    root = write(name)
    image = Path(open_source(name, root).table["image"].iloc[0])
    image.write_bytes(image.read_bytes()[:60])
    assert [fault for fault in faults(name, root) if str(image) in fault and "damaged" in fault]


@pytest.mark.parametrize("name", [name for name in names() if name != "cotton"])
def test_an_image_of_another_size_than_its_mask(write, name):
    root = write(name)
    row = labelled(open_source(name, root))
    Image.new("RGB", (5, 7)).save(row.image)
    found = faults(name, root)
    assert len(found) == 1
    assert "5 x 7" in found[0]


@pytest.mark.parametrize("name", names())
def test_two_files_with_one_key(write, name):
    root = write(name)
    image = Path(open_source(name, root).table["image"].iloc[0])
    other = image.with_suffix(next(suffix for suffix in IMAGE_SUFFIXES if suffix != image.suffix.lower()))
    other.write_bytes(image.read_bytes())
    assert [fault for fault in faults(name, root) if str(other) in fault or other.name in fault]


@pytest.mark.parametrize("name", WITH_MASK_FILES)
def test_a_missing_mask(write, name):
    root = write(name)
    row = labelled(open_source(name, root))
    Path(row.mask).unlink()
    found = faults(name, root)
    assert [fault for fault in found if row.image in fault or row.mask in fault], found


def sixteen_bit(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint16) * 257)


def coloured(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(np.stack([mask, mask * 0, mask * 0], axis=2))


def with_palette(mask: np.ndarray) -> Image.Image:
    image = Image.fromarray(mask, mode="L").convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] * 80)
    return image


WRONG = {"more than 8 bits": sixteen_bit, "colour": coloured, "palette": with_palette}


@pytest.mark.parametrize("name", WITH_MASK_FILES)
def test_a_mask_stored_as_something_else(write, name):
    root = write(name)
    source = open_source(name, root)
    row = labelled(source)
    with Image.open(row.mask) as image:
        mask = np.asarray(image).astype(np.uint8)
    for what, stored in WRONG.items():
        stored(mask).save(row.mask, "png")
        (found,) = faults(name, root)
        assert row.mask in found
        assert what in found


@pytest.mark.parametrize("name", names())
def test_links_are_followed_and_a_link_to_nothing_is_named(write, tmp_path, name):
    root = write(name)
    image = Path(open_source(name, root).table["image"].iloc[0])
    before, outside = faults(name, root), tmp_path / f"outside{image.suffix}"
    image.rename(outside)
    image.symlink_to(outside)
    assert faults(name, root) == before
    outside.unlink()
    assert [fault for fault in faults(name, root) if str(image) in fault and "is a link to nothing" in fault]
