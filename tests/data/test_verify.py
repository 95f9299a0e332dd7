"""A folder is checked whole: all its faults at once, and counts that are right."""

import json
import re
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from defectlib.data import folder, procedural, verify
from defectlib.data.split import Split
from defectlib.data.twins import GRAY_LEVELS, near_duplicates, thumbnail
from defectlib.errors import UserErrors
from tests.data.miniatures import labels, message, picture, write_folder


def test_a_sound_folder_is_counted(root):
    report = verify.check(root)
    assert (report.faults, report.warnings) == ((), ())
    assert (report.images, report.defect_images, report.several_types) == (8, 7, 1)
    assert report.per_class.to_dict("list") == {"class": ["scratch", "stain"], "images": [4, 4], "pixels": [48, 48]}
    text = str(report)
    assert text.startswith(f"{root}: 8 images, 7 with a defect, 1 with several types\n")
    assert text.endswith("0 faults, 0 warnings")


def test_every_fault_is_listed_at_once(tmp_path):
    root = write_folder(tmp_path / "parts", dict.fromkeys("abcdefghijklmnop", (1,)))
    image, mask = Image.fromarray(picture("x")), Image.fromarray(labels((1,)))
    (root / "masks" / "a.png").unlink()
    (root / "images" / "b.png").unlink()
    Image.fromarray(labels((1,), (5, 5))).save(root / "masks" / "c.png")
    Image.fromarray(labels((1, 9))).save(root / "masks" / "d.png")
    image.save(root / "masks" / "e.png")
    Image.fromarray(picture("x")[..., 0].astype(np.uint16)).save(root / "images" / "f.png")
    image.convert("RGBA").crop((-1, 0, 11, 16)).save(root / "images" / "g.png")
    image.save(root / "images" / "h.png", save_all=True, append_images=[mask])
    whole = (root / "images" / "i.png").read_bytes()
    (root / "images" / "i.png").write_bytes(whole[:-60])
    image.save(root / "images" / "j.jpg")
    mask.convert("P").save(root / "masks" / "k.png")
    (root / "groups.json").write_text(json.dumps({"z": "part 9", "l": "part 1", "m": "part 1"}))
    (root / "splits").mkdir()
    (root / "splits" / "bad.json").write_text(json.dumps({"train": ["l", "n", "y"], "eval": ["m", "n"]}))
    (root / "splits" / "worse.json").write_text("{")
    wanted = [
        ("images/a.png", "has no mask"),
        ("masks/b.png", "has no image"),
        ("masks/c.png", "is 5 x 5 pixels but its image is 12 x 16"),
        ("masks/d.png", "value 9 has no class; classes.json ends at 2"),
        ("masks/e.png", "is a colour image (RGB)"),
        ("images/f.png", "has more than 8 bits a channel"),
        ("images/g.png", "has an alpha channel"),
        ("images/h.png", "is animated"),
        ("images/i.png", "damaged"),
        ("images/j.jpg", "key 'j' is there more than once (j.jpg, j.png)"),
        ("masks/k.png", "has a palette"),
        ("groups.json", "'z' names no image"),
        ("splits/bad.json", "names 'y', which is no image here"),
        ("splits/bad.json", "'n' trains and evaluates"),
        ("splits/bad.json", "group 'part 1' stands on both sides"),
        ("splits/worse.json", "cannot be read as JSON"),
    ]
    faults = verify.verify(root).faults
    for name, fault in wanted:
        assert sum(line.startswith(f"{root / name}: {fault}") for line in faults) == 1, (name, fault, faults)
    assert len(faults) == len(wanted)
    with pytest.raises(UserErrors) as refused:
        verify.check(root)
    assert refused.value.faults == faults
    assert str(refused.value).splitlines()[0] == f"{root}: the dataset has faults (16):"


def test_a_file_with_two_faults_has_both_listed(root):
    (root / "masks" / "a.png").unlink()
    (root / "images" / "a.png").write_bytes(b"")
    assert [line.split(": ")[1][:11] for line in verify.verify(root).faults] == ["has no mask", "damaged or "]


def test_bad_classes_do_not_hide_other_faults(root):
    (root / "classes.json").write_text('{"2": "stain"}')
    Image.fromarray(picture("x")).save(root / "masks" / "a.png")
    report = verify.verify(root)
    assert [line.split(":")[0] for line in report.faults] == [f"{root}/classes.json", f"{root}/masks/a.png"]
    assert report.per_class.empty


@pytest.mark.parametrize("folders", [(), ("images",), ("images", "masks")])
def test_an_empty_folder_is_a_fault_not_a_crash(tmp_path, folders):
    for name in folders:
        (tmp_path / name).mkdir()
    report = verify.verify(tmp_path)
    assert report.images == 0
    assert len(report.faults) == (2 if "masks" in folders else 3)
    assert any("classes.json: no such file" in line for line in report.faults)


def test_no_folder(tmp_path):
    assert "no such folder" in message(verify.verify, tmp_path / "nowhere")


LINKED = (
    "images", "masks", "images/a.png", "masks/a.png",
    "classes.json", "groups.json", "captions.csv", "provenance.json", "splits/default.json",
)  # fmt: skip


@pytest.fixture
def linked(root, tmp_path):
    """A dataset folder with every optional file, and what its parts become once they are links, as DVC keeps data."""
    (root / "groups.json").write_text('{"a": "part 1"}')
    (root / "captions.csv").write_text("key,caption\na,a scratch\n")
    (root / "provenance.json").write_text('{"product": "capsule"}')
    Split(("a", "b"), ("c", "d"), "by hand").write(root / "splits" / "default.json")

    def link(name):
        stored = tmp_path / "store" / name
        stored.parent.mkdir(parents=True)
        (root / name).rename(stored)
        (root / name).symlink_to(stored)
        return stored

    return link


@pytest.mark.parametrize("name", LINKED)
def test_links_out_of_the_folder_are_followed(root, linked, name):
    linked(name)
    assert verify.check(root).images == 8
    assert folder.index(root).iloc[0]["product"] == "capsule"


@pytest.mark.parametrize("name", LINKED)
def test_a_link_to_nothing_is_a_fault(root, linked, name):
    stored = linked(name)
    stored.rename(stored.with_name("gone"))
    assert any(line.startswith(f"{root / name}: ") for line in verify.verify(root).faults)


# Damaged masks ------------------------------------------------------------------------------------------------------


def shapes(first, second, side=96):
    """A disc of one value, and a rectangle of another that touches it: uint8 (side, side)."""
    rows, columns = np.ogrid[:side, :side]
    disc = (rows / side - 0.5) ** 2 + (columns / side - 0.4) ** 2 < 0.06
    mask = np.where(disc, first, 0).astype(np.uint8)
    mask[side // 8 : side // 3, side // 2 : side // 2 + side // 4] = second
    return mask


def resized(mask, how, side=96):
    return np.array(Image.fromarray(mask).resize((side, side), how))


def as_jpeg(mask):
    file = BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=90)
    return np.array(Image.open(file))


TRUE, SMOOTH = shapes(1, 2), "interpolation, smooth .* edges or JPEG .*nearest neighbours"
DAMAGED = {
    "black and white": (255 * (TRUE > 0).astype(np.uint8), "is black and white: 255 marks every defect; write there"),
    "stretched by a whole number": (shapes(85, 170), "ids times 85, .*divide"),
    "stretched to 255": (shapes(127, 255), "ids times 127.5, .*divide"),
    "ids from 0 on white": (np.where(TRUE, TRUE - 1, 255).astype(np.uint8), "its background is 255 .*add 1"),
    "ids one too high": (TRUE + np.uint8(1), "its background is 1 .*subtract 1"),
    "types one too high": (TRUE + (TRUE > 0).astype(np.uint8), "value 3 has no class.*subtract 1"),
    "pixels to ignore": (
        np.where(shapes(1, 2, 102)[3:-3, 3:-3] != TRUE, 255, TRUE).astype(np.uint8),
        "255 .*to ignore",
    ),
    "enlarged": (resized(shapes(255, 255, 48), Image.Resampling.BILINEAR), SMOOTH),
    "enlarged by Lanczos": (resized(shapes(0, 255, 24), Image.Resampling.LANCZOS), SMOOTH),
    "enlarged, every value an id": (resized(shapes(2, 2, 48), Image.Resampling.BILINEAR), SMOOTH),
    "antialiased, every value an id": (resized(shapes(2, 2, 384), Image.Resampling.BOX), SMOOTH),
    "JPEG": (as_jpeg(shapes(255, 255)), SMOOTH),
    "inverted": (2 - TRUE, "marks its whole border as a defect; if it is inverted"),
    "a palette": (Image.fromarray(TRUE).convert("P"), "has a palette; save its indices"),
    "three channels": (np.dstack([TRUE] * 3), "save one of its channels"),
    "a pixel less": (TRUE[1:], "cropped or resized and rounded"),
    "half as large": (TRUE[::2, ::2], "resize it with nearest neighbours"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_mask_is_told_with_its_cause_and_what_to_do(tmp_path, case):
    damaged, told = DAMAGED[case]
    root = write_folder(tmp_path / "parts", {"a": ()})
    Image.fromarray(blocks(0).repeat(2, 0).repeat(2, 1)[:96, :96]).save(root / "images" / "a.png")
    (damaged if isinstance(damaged, Image.Image) else Image.fromarray(damaged)).save(root / "masks" / "a.png")
    report = verify.verify(root)
    (line,) = (line for line in (*report.faults, *report.warnings) if "classes.json:" not in line)
    assert re.match(rf"{root}/masks/a.png: .*{told}", line)


def test_whole_masks_are_not_taken_for_damaged(tmp_path):
    for name in procedural.PRODUCTS:
        folder.write_dataset(tmp_path / name, (procedural.sample(name, "train", i, size=64) for i in range(12)))
        assert verify.check(tmp_path / name).warnings == ()


def test_a_type_that_no_mask_shows_is_warned_of(root):
    names = {"1": "scratch", "2": "stain", "3": "dent", "4": "chip"}
    (root / "classes.json").write_text(json.dumps(names))
    (line,) = verify.check(root).warnings
    assert line.startswith(f"{root}/classes.json: no mask shows 'dent' (3), 'chip' (4); ")


# Near-duplicates ----------------------------------------------------------------------------------------------------


def blocks(seed):
    """Coarse random structure, as photographs have it: uint8 (64, 64, 3)."""
    coarse = np.random.default_rng(seed).integers(40, 200, (8, 8), dtype=np.uint8)
    return np.dstack([np.kron(coarse, np.ones((8, 8), np.uint8))] * 3)


@pytest.fixture
def twins(tmp_path):
    """A folder in which c is a with a little noise; b and d are pictures of their own."""
    root = write_folder(tmp_path / "parts", dict.fromkeys("abcd", (1, 2)))
    images = {key: blocks(number) for number, key in enumerate("abd")}
    noise = np.random.default_rng(9).integers(-6, 7, (64, 64, 1))
    images["c"] = (images["a"].astype(int) + noise).astype(np.uint8)
    for key, image in images.items():
        Image.fromarray(image).save(root / "images" / f"{key}.png")
        Image.fromarray(labels((1, 2), (64, 64))).save(root / "masks" / f"{key}.png")
    return root


def test_near_duplicates_across_a_split_are_warned_of(twins):
    Split(("a", "b"), ("c", "d"), "by hand").write(twins / "splits" / "default.json")
    report = verify.check(twins)
    (line,) = report.warnings
    assert line.startswith(f"{twins}/splits/default.json: 'a' trains and 'c' evaluates, but they look the same")
    assert line.endswith("put them in one group in groups.json")


def test_near_duplicates_on_one_side_are_no_matter(twins):
    assert verify.check(twins).warnings == ()
    Split(("a", "c"), ("b", "d"), "by hand").write(twins / "splits" / "default.json")
    assert verify.check(twins).warnings == ()


def test_near_duplicates_agree_with_comparing_every_pair():
    generator = np.random.default_rng(0)
    base = np.stack([blocks(seed)[::2, ::2, 0] for seed in range(12)])
    second = np.clip(base[generator.permutation(12)] + generator.normal(0, 1.5, base.shape), 0, 255).astype(np.uint8)
    found = {(i, j) for _, i, j in near_duplicates(base, second)}
    differences = np.abs(base[:, None].astype(float) - second[None]).mean(axis=(2, 3))
    assert found == {(i, j) for i, j in np.argwhere(differences <= GRAY_LEVELS).tolist()}
    assert len(found) == 12


def test_a_long_list_is_cut(tmp_path):
    root = write_folder(tmp_path / "parts", {f"k{number}": (1, 2) for number in range(12)})
    for path in (root / "images").iterdir():
        Image.fromarray(blocks(0)[:16, :12]).save(path)
    keys = [path.stem for path in sorted((root / "images").iterdir())]
    Split(tuple(keys[:6]), tuple(keys[6:]), "by hand").write(root / "splits" / "default.json")
    warnings = verify.verify(root).warnings
    assert len(warnings) == 21
    assert warnings[-1].endswith("16 more pairs like these stand on both sides")


# A real dataset -----------------------------------------------------------------------------------------------------


def test_magnetic_tile_is_sound(magnetic_tile):
    started = time.perf_counter()
    report = verify.check(magnetic_tile)
    seconds = time.perf_counter() - started
    assert (report.images, report.defect_images, report.several_types) == (555, 386, 0)
    assert report.per_class["images"].tolist() == [115, 85, 57, 32, 97]
    assert seconds < 30


def test_near_duplicates_show_tiles_that_magnetic_tile_lists_as_several_groups(magnetic_tile_table):
    """Groups were inferred from frame numbers; five pairs of them show one tile, shot again in the same light."""
    images = np.stack([thumbnail(folder.read_image(path)) for path in magnetic_tile_table["image"]])
    groups = magnetic_tile_table["group"]
    pairs = [(i, j) for _, i, j in near_duplicates(images, images) if i < j]
    assert len(pairs) == 13
    assert {(groups[i], groups[j]) for i, j in pairs} == {
        ("blowhole_010", "blowhole_011"),
        ("crack_002", "crack_003"),
        ("crack_002", "crack_004"),
        ("crack_002", "crack_005"),
        ("crack_003", "crack_005"),
    }
