import re
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from defectlib.data.sources.captions import match_captions
from defectlib.data.sources.defect_spectrum import SUBSETS, SYNTHETIC, DefectSpectrum
from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import GOOD, rows
from defectlib.errors import UserError, UserErrors
from defectlib.plots import paper
from tests.data.sources import miniature
from tests.data.sources.mini_defect_spectrum import (
    CAPTIONED,
    OBJECT,
    classes,
    is_mask,
    paint,
    write_captions,
    write_defect_spectrum,
)

MVTEC = "DS-MVTec"


@pytest.fixture
def root(tmp_path):
    """A copy to be spoilt."""
    return write_defect_spectrum(tmp_path / "ds")


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    """A copy that stays as it is."""
    return write_defect_spectrum(tmp_path_factory.mktemp("intact") / "ds")


@pytest.fixture
def book(intact):
    """The caption table of the intact copy, put right after the test."""
    path = intact / MVTEC / "captions.xlsx"
    content = path.read_bytes()
    yield path
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def only_fault(source):
    """The one fault of ``source``, and that checking it tells it."""
    assert len(source.faults) == 1, source.faults
    with pytest.raises(UserErrors) as error:
        source.check()
    assert error.value.faults == tuple(source.faults)
    return source.faults[0]


# What is published ----------------------------------------------------------------------------------------------------


def test_the_manifest_adds_up_to_what_is_published():
    manifest = read_manifest("defect_spectrum")
    counts = {}
    for name, product in manifest.products.items():
        subset = name.partition("_")[0]
        counts[subset] = counts.get(subset, 0) + len(product.classes)
    assert counts == {"mvtec": 71, "vision": 20, "dagm": 5, "cotton": 2}
    assert all(f"{count} in" in manifest.differs for count in counts.values())
    assert f"{sum(counts.values())} pairs" in manifest.differs
    captioned = [product.defective for name, product in manifest.products.items() if name.startswith("mvtec_")]
    assert sum(captioned) == 1226 == 1258 - 23 - 9  # MVTec AD without metal_nut/flip and pill/pill_type


def test_the_manifest_and_the_paper_agree_on_the_row():
    manifest = read_manifest("defect_spectrum")
    row = paper.table1().loc[manifest.row]
    assert row["annotated images"] == manifest.defective
    assert f"counts {row['defect types']} types" in manifest.differs


def test_the_subsets_have_the_products_of_the_manifest_and_no_other():
    starts = tuple(set(SUBSETS.values()))
    assert all(name.startswith(starts) for name in read_manifest("defect_spectrum").products)


# Rows -----------------------------------------------------------------------------------------------------------------


def test_every_image_is_a_row_or_left_out_as_a_known_error(intact):
    source = DefectSpectrum(intact)
    source.check()
    listed = miniature.listed("defect_spectrum")
    images = {str(intact / line) for line in listed if "/image/" in line or "/images/" in line}
    metal_nuts = {str(intact / MVTEC / f"pill/image/good/{name}.png") for name in ("000", "021")}
    assert set(source.table["image"]) == images - metal_nuts
    assert set(source.table["mask"]) - {""} == {str(intact / line) for line in listed if is_mask(line)}
    assert source.notes == [
        f"{intact / MVTEC}/pill/image/good: 2 images show metal nuts, a known error of the release (all but 022 to "
        "025), and are left out; MVTec AD has the good pills"
    ]


def test_rows_name_product_split_key_and_label(intact):
    table = DefectSpectrum(intact).table
    found = {(row.product, row.split, row.key, row.label) for row in table.itertuples()}
    assert {
        ("mvtec_bottle", "", "broken_large_011", ""),
        ("mvtec_bottle", "", "good_005", GOOD),
        ("mvtec_bottle", SYNTHETIC, "synthetic_000000_1_0", ""),
        ("mvtec_screw", "", "manipulated_front_000", ""),
        ("vision_screw", "", "000001", ""),
        ("vision_ring", SYNTHETIC, "synthetic_000000_0_0", ""),
        ("dagm", "", "109", ""),
        ("cotton_fabric", "", "00987_0047_Thick-Place", ""),
        ("cotton_fabric", SYNTHETIC, "synthetic_000000_0_0", ""),
    } <= found
    assert not table.duplicated(["product", "key"]).any()
    assert (table["group"] == table["key"]).all()


def test_masks_are_class_ids_as_stored(intact):
    source = DefectSpectrum(intact)
    for row in rows(source):
        mask = source.mask(row)
        expected = paint(row.mask.removeprefix(f"{intact}/")) if row.mask else np.zeros_like(mask)
        assert mask.dtype == np.uint8
        assert (mask == expected).all()
    (combined,) = rows(source, product="mvtec_cable", key="combined_000")
    sample = source.sample(combined)
    assert sample.present == ("bent_wire", "poke_insulation")  # pixels tell the types, the folder does not
    assert [(sample.mask == value).sum() for value in (1, 8)] == [6, 12]
    assert sample.image.shape == (20, 24, 3)


def test_class_ids_are_those_of_the_label_files(intact):
    assert DefectSpectrum(intact).classes["mvtec_pill"][5] == "pill_type"
    assert DefectSpectrum(intact).classes["mvtec_metal_nut"] == ("scratch", "bent", "color")
    assert DefectSpectrum(intact).classes["cotton_fabric"] == ("texture", "bubble")


def test_every_value_without_a_class_is_told_with_the_classes(root):
    path = root / "DS-Cotton-Fabric/mask/00987_0047_Thick-Place_mask.png"
    Image.fromarray(np.full((20, 24), 3, np.uint8)).save(path)
    source = DefectSpectrum(root)
    (row,) = rows(source, product="cotton_fabric", split="")
    with pytest.raises(UserError) as error:
        source.sample(row)
    assert str(error.value) == f"{path}: value 3 has no class; cotton_fabric has 1 texture, 2 bubble; get the file anew"


def test_a_colour_picture_in_place_of_class_ids_is_refused(root):
    Image.fromarray(miniature.photograph("x")).save(root / "DS-DAGM/mask/109_mask.png")
    source = DefectSpectrum(root)
    (row,) = rows(source, product="dagm")
    with pytest.raises(UserError, match=r"109_mask.png: is a colour image \(RGB\)"):
        source.mask(row)


def test_parts_of_the_dataset_are_enough(root, tmp_path):
    for kept in ("DS-DAGM", "synthetic_MVTec", "DS-VISION"):
        part = tmp_path / f"only {kept}"
        part.mkdir()
        (root / kept).rename(part / kept)
        source = DefectSpectrum(part)
        source.check()
        assert len(source.table)
        assert set(source.classes) == set(source.table["product"])


def test_the_index_opens_no_image(root):
    table = DefectSpectrum(root).table
    for line in miniature.listed("defect_spectrum"):
        (root / line).write_bytes((root / line).read_bytes() if line.endswith(".xlsx") else b"")
    assert DefectSpectrum(root).table.equals(table)


# Both spellings, and colour masks -------------------------------------------------------------------------------------


def test_colour_masks_are_found_in_either_spelling_of_folder_and_name(root):
    path = root / "DS-DAGM/rbg_mask/109_rbg_mask.png"
    for folder in ("rgb_mask", "rbg_mask"):
        for suffix in ("rgb_mask", "rbg_mask"):
            path.parent.rename(root / "DS-DAGM" / folder)
            path = (root / "DS-DAGM" / folder / path.name).rename(root / "DS-DAGM" / folder / f"109_{suffix}.png")
            source = DefectSpectrum(root)
            assert not source.faults
            assert not [note for note in source.notes if "DS-DAGM" in note]


def test_missing_colour_masks_are_told_and_no_fault(root):
    (root / MVTEC / "wood/rgb_mask/hole/003_rgb_mask.png").unlink()
    (root / "synthetic_VISION/Ring/masks/samples_mask_000000_0_0.png").unlink()
    source = DefectSpectrum(root)
    source.check()
    assert {note for note in source.notes if "colour mask;" in note} == {
        f"{root}/DS-MVTec/wood: 1 of 2 images have no colour mask; nothing here reads them",
        f"{root}/synthetic_VISION/Ring: 1 of 1 images have no colour mask; nothing here reads them",
    }


def test_a_colour_mask_without_image_tells_that_the_image_is_lost(root):
    path = root / MVTEC / "wood/rgb_mask/hole/004_rgb_mask.png"
    path.touch()
    assert only_fault(DefectSpectrum(root)) == f"{path}: has no image; add 'hole/004' or remove the mask"


def test_colour_masks_are_not_opened(root):
    for path in root.glob("**/*_r?b_mask.png"):
        path.write_bytes(b"damaged")
    source = DefectSpectrum(root)
    source.check()
    for row in rows(source):
        source.sample(row)


# Pills ----------------------------------------------------------------------------------------------------------------


def test_true_pills_alone_need_no_note(root):
    for name in ("000", "021"):
        (root / MVTEC / f"pill/image/good/{name}.png").unlink()
    source = DefectSpectrum(root)
    assert source.notes == []
    assert [row.key for row in rows(source, product="mvtec_pill", label=GOOD)] == [
        f"good_{n:03}" for n in range(22, 26)
    ]


# Captions -------------------------------------------------------------------------------------------------------------


def test_captions_are_joined_whichever_numbering_they_have(intact):
    table = DefectSpectrum(intact).table
    captions = {(row.product, row.key): row.caption for row in table.itertuples() if row.caption}
    assert captions == {
        ("mvtec_cable", "bent_wire_000"): f"{OBJECT} A defect in cable/bent_wire/000.png.",
        ("mvtec_bottle", "broken_large_000"): f"{OBJECT} A defect in bottle/broken_large/000.png.",
        ("mvtec_capsule", "crack_001"): f"{OBJECT} A defect in capsule/crack/03552_00001_001.png.",
        ("mvtec_metal_nut", "bent_007"): f"{OBJECT} A defect in metal_nut/bent/03986_00568_007.png.",
        ("mvtec_wood", "hole_003"): f"{OBJECT} A defect in wood/hole/04071_00694_003.png.",
    }


def test_files_that_have_the_older_numbering_themselves_keep_their_captions(root):
    for folder, suffix in {"image": "", "mask": "_mask", "rgb_mask": "_rgb_mask"}.items():
        path = root / MVTEC / "wood" / folder / "hole" / f"003{suffix}.png"
        path.rename(path.with_name(f"04071_00694_003{suffix}.png"))
    source = DefectSpectrum(root)
    source.check()
    (row,) = rows(source, key="hole_04071_00694_003")
    assert row.caption.endswith("wood/hole/04071_00694_003.png.")


@given(st.dictionaries(st.integers(0, 99), st.sampled_from(["", "04071_00694_", "a_b_"])))
def test_every_caption_finds_its_image_and_no_other(tmp_path_factory, numbers):
    faults = []
    listed = {f"hole/{prefix}{number:03}": f"text {number}" for number, prefix in numbers.items()}
    names = {f"hole/{number:03}" for number in range(100)}
    found = match_captions(listed, names, tmp_path_factory.getbasetemp(), faults)
    assert found == {f"hole/{number:03}": f"text {number}" for number in numbers}
    assert not faults


def test_no_captions_are_no_fault(intact, book):
    book.unlink()
    source = DefectSpectrum(intact)
    source.check()
    assert (source.table["caption"] == "").all()


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (
            ("cable/bent_wire/044.png", "a", "b"),
            "{mvtec}/cable/image: has no image 'bent_wire/044', which captions.xlsx describes; get the image anew",
        ),
        (
            ("cabel/bent_wire/000.png", "a", "b"),
            "{book}: row 8: unknown product 'cabel': did you mean 'cable'? known are bottle, cable, ",
        ),
        (
            ("cable/bent_wire/000.png", "a", "b"),
            "{book}: row 8: 'cable/bent_wire/000.png' has a caption already; keep one",
        ),
        (
            ("cable/bent_wire/1_000.png", "a", "b"),
            "{mvtec}/cable/image: image 'bent_wire/000' has two captions in captions.xlsx; keep one",
        ),
        (
            (None, "a", "b"),
            "{book}: row 8 is not a path and two texts; mend the row or get the file anew",
        ),
        ((3, "a", "b"), "{book}: row 8 is not a path and two texts; mend the row or get the file anew"),
    ],
)
def test_a_wrong_caption_is_named(intact, book, row, fault):
    write_captions(book, [*((name, "object", "defect") for name in CAPTIONED), row])
    assert only_fault(DefectSpectrum(intact)).startswith(fault.format(book=book, mvtec=intact / MVTEC))


def test_empty_rows_and_cells_of_the_caption_table_are_passed_over(intact, book):
    write_captions(book, [(CAPTIONED[0], "a", None), (None, None, None), (f" {CAPTIONED[1]}", " c ", "d\n e")])
    source = DefectSpectrum(intact)
    source.check()
    assert set(source.table["caption"]) == {"", "a", "c d e"}


def damaged(book):
    book.write_bytes(book.read_bytes()[:3000])


def text(book):
    book.write_text("Path,object description,defect description\n")


def empty(book):
    book.write_bytes(b"")


def broken_xml(book):
    with zipfile.ZipFile(book) as old:
        files = {name: old.read(name) for name in old.namelist()}
    files["xl/worksheets/sheet1.xml"] = files["xl/worksheets/sheet1.xml"][:400]
    with zipfile.ZipFile(book, "w") as new:
        for name, content in files.items():
            new.writestr(name, content)


def bomb(book):
    with zipfile.ZipFile(book, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image1.png", bytes(20 * 2**20))


def far_row(book):
    workbook_rows = [(name, "object", "defect") for name in CAPTIONED]
    write_captions(book, workbook_rows)
    with zipfile.ZipFile(book) as old:
        files = {name: old.read(name) for name in old.namelist()}
    sheet = files["xl/worksheets/sheet1.xml"]
    files["xl/worksheets/sheet1.xml"] = sheet.replace(b'<row r="7"', b'<row r="99999999999"')
    assert files["xl/worksheets/sheet1.xml"] != sheet
    with zipfile.ZipFile(book, "w") as new:
        for name, content in files.items():
            new.writestr(name, content)


def header(book):
    write_captions(book, [("cable/bent_wire/000.png", "b")], header=("Path", "caption"))


def blank(book):
    write_captions(book, [], header=())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (damaged, r"cannot be read as a workbook \(.*not a zip file\); get the file anew"),
        (text, r"cannot be read as a workbook \(.*not a zip file\); get the file anew"),
        (empty, r"cannot be read as a workbook \(.*not a zip file\); get the file anew"),
        (broken_xml, r"cannot be read as a workbook \(.+\); get the file anew"),
        (bomb, r"unpacks to 20,\d{3},\d{3} bytes, more than 16,777,216; get the file anew"),
        (far_row, r"has more than 20,000 rows; get the file anew"),
        (header, r"its first row is not 'Path, object description, defect description'; get the file anew"),
        (blank, r"its first row is not 'Path, object description, defect description'; get the file anew"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_damaged_or_absurd_workbook_is_a_fault_and_the_images_stay(intact, book, spoil, reason):
    whole = len(DefectSpectrum(intact).table)
    spoil(book)
    source = DefectSpectrum(intact)
    assert len(source.table) == whole
    assert (source.table["caption"] == "").all()
    fault = only_fault(source)
    assert fault.startswith(f"{book}: ")
    assert re.search(f"{reason}$", fault)


# Faults of the layout -------------------------------------------------------------------------------------------------


def test_missing_masks_are_named_all_at_once(root):
    bare = {
        "DS-MVTec/screw/mask/manipulated_front/000_mask.png": "DS-MVTec/screw/image/manipulated_front/000.png",
        "DS-DAGM/mask/109_mask.png": "DS-DAGM/image/109.png",
        "synthetic_MVTec/bottle/masks_converted_dir/samples_converted_mask_000000_1_0.png": (
            "synthetic_MVTec/bottle/images/samples_image_000000_1_0.png"
        ),
    }
    for mask in bare:
        (root / mask).unlink()
    source = DefectSpectrum(root)
    assert set(source.faults) == {f"{root / image}: has no mask; get the file anew" for image in bare.values()}
    assert not {str(root / image) for image in bare.values()} & set(source.table["image"])
    with pytest.raises(UserErrors, match=r"faults in the layout \(3\)"):
        source.check()


def test_files_that_do_not_belong_are_named_all_at_once(root):
    whole = len(DefectSpectrum(root).table)
    added = {
        "DS-MVTec/screw/mask/manipulated_front/001_mask.png": (
            "has no image; add 'manipulated_front/001' or remove the mask"
        ),
        "DS-MVTec/screw/mask/thread_top/000_mask.png": "has no image; add 'thread_top/000' or remove the mask",
        "DS-DAGM/mask/110_mask.png": "has no image; add '110' or remove the mask",
        "DS-DAGM/mask/109.png": "a mask's name ends in '_mask'; rename or remove it",
        "DS-DAGM/image/notes.txt": "is not one of .png, .jpg, .jpeg, .bmp, .tif, .tiff; convert it or move it",
        "DS-MVTec/screw/image/000.png": "is an image beside the folders that hold images; move or remove it",
        "synthetic_MVTec/bottle/images/000.png": (
            "a name in this folder starts with 'samples_image_'; rename or remove it"
        ),
        "synthetic_MVTec/bottle/masks_converted_dir/samples_mask_000000_0_0.png": (
            "a name in this folder starts with 'samples_converted_mask_'; rename or remove it"
        ),
    }
    for name in added:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    source = DefectSpectrum(root)
    assert set(source.faults) == {f"{root / name}: {fault}" for name, fault in added.items()}
    assert len(source.table) == whole


def test_unknown_folders_are_named_with_the_nearest(root):
    added = {
        "DS-MVTex": "unknown subset 'DS-MVTex': did you mean 'DS-MVTec'? known are ",
        "DS-MVTec/bottles": "unknown product of DS-MVTec 'bottles': did you mean 'bottle'? known are ",
        "DS-VISION/Skrew": "unknown product of DS-VISION 'Skrew': did you mean 'screw'? known are ",
        "DS-MVTec/bottle/masks": "unknown folder 'masks': did you mean 'mask'? known are ",
        "DS-DAGM/rgb-mask": "unknown folder 'rgb-mask': did you mean 'rgb_mask'? known are ",
    }
    for name in added:
        (root / name).mkdir()
    faults = DefectSpectrum(root).faults
    assert len(faults) == len(added)
    assert all(any(fault.startswith(f"{root / name}: {text}") for fault in faults) for name, text in added.items())


@pytest.mark.parametrize("folder", ["image", "mask"])
def test_a_missing_folder_is_named(root, folder):
    for path in (root / "DS-DAGM" / folder).iterdir():
        path.unlink()
    (root / "DS-DAGM" / folder).rmdir()
    fault = f"{root}/DS-DAGM/{folder}: no such folder; put one file per image there, named by key"
    assert fault in DefectSpectrum(root).faults


def test_two_images_of_one_key_are_named(root):
    for folder, suffix in {"image": "", "mask": "_mask", "rgb_mask": "_rgb_mask"}.items():
        for inner, name in (("bent", "wire_000"), ("bent_wire", "000")):
            path = root / MVTEC / "cable" / folder / inner / f"{name}{suffix}.png"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    images = root / MVTEC / "cable/image"
    assert only_fault(DefectSpectrum(root)) == (
        f"{images}/bent_wire/000.png: has the same key, 'bent_wire_000', as {images}/bent/wire_000.png; rename one"
    )


def test_an_empty_folder_says_how_to_get_the_dataset(tmp_path):
    with pytest.raises(UserError, match="holds no image where Defect Spectrum has them; run 'defectlib data download"):
        DefectSpectrum(tmp_path)
    with pytest.raises(UserError, match="no such folder; run 'defectlib data download defect-spectrum'"):
        DefectSpectrum(tmp_path / "absent")


def test_the_miniature_paints_the_last_class_of_each_product():
    assert [
        classes(line) for line in ("DS-MVTec/cable/mask/x", "synthetic_VISION/Ring/x", "DS-Cotton-Fabric/mask")
    ] == [8, 4, 2]
