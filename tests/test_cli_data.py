"""`defectlib data` as a user types it: what it prints, where it writes, and how it ends."""

from __future__ import annotations

import importlib
import json

import pytest
from PIL import Image

from defectlib.data import folder, procedural
from defectlib.data.hub import write_hub
from defectlib.data.sources.manifest import names, read_manifest
from defectlib.runtime import REPOSITORY
from tests.data.miniatures import write_folder
from tests.data.sources.mini_kolektor import write_kolektor
from tests.data.sources.mini_mvtec_ad import write_mvtec_ad
from tests.data.sources.mini_vision import HEIGHT, PAGE, WIDTH, box, coco, write_page
from tests.test_cli import run


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("DEFECTLIB_QUIET", "1")


SHARED = REPOSITORY.parent / "shared" / "data"


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A data home with a small copy of one dataset."""
    write_mvtec_ad(tmp_path / "home" / "mvtec_ad")
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path / "home"))
    return tmp_path / "home"


def test_list_says_what_is_here_and_how_to_get_the_rest(monkeypatch, capsys, home):
    status, out, _ = run(monkeypatch, capsys, "data", "list")
    assert status == 0
    flat = " ".join(out.split())
    for name in names():
        assert f"{name} {read_manifest(name).title}" in flat
    assert "15 of 15 products" in flat
    assert flat.count("not here; ") == len(names()) - 1
    assert max(map(len, out.splitlines())) <= 160  # a page's address is never broken


def test_list_for_programs(monkeypatch, capsys, home):
    _, out, _ = run(monkeypatch, capsys, "data", "list", "--json")
    found = json.loads(out)
    assert set(found) == set(names())
    assert [name for name in found if found[name]["here"]] == ["mvtec_ad"]


def test_a_dataset_that_is_broken_is_listed_as_such(monkeypatch, capsys, home):
    (home / "mvtec_ad" / "bottle" / "train" / "good" / "notes.txt").write_text("x")
    (home / "dagm").mkdir()
    _, out, _ = run(monkeypatch, capsys, "data", "list")
    flat = " ".join(out.split())
    assert "1 fault, see `defectlib data verify mvtec_ad`" in flat
    assert "cannot be used: " in flat


def test_stats_counts_what_is_in_the_data_home(monkeypatch, capsys, home):
    status, out, _ = run(monkeypatch, capsys, "data", "stats", "mvtec-ad", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["total"]["types"] == 73
    assert sum(product["defective"] for product in found["products"].values()) == found["total"]["defective"]
    status, out, _ = run(monkeypatch, capsys, "data", "stats", "mvtec_ad")
    assert "73 defect types" in out
    assert "Its publishers state 1,258 defective images." in out


def test_a_release_alone_is_called_so_and_misses_none_of_the_papers_products(monkeypatch, capsys, tmp_path):
    pairs = [procedural.sample("washer", "train", i, size=32) for i in range(3)]
    write_hub(tmp_path / "defect_spectrum", {"washer": (pairs, {})})
    monkeypatch.setenv("DEFECTLIB_DATA", str(tmp_path))
    _, out, _ = run(monkeypatch, capsys, "data", "list")
    assert "here: 3 images, 1 product of a synthetic release" in " ".join(out.split())
    status, out, _ = run(monkeypatch, capsys, "data", "stats", "defect_spectrum")
    assert status == 0
    assert out.splitlines()[-1] == (
        "1 product of a synthetic release, 3 pairs with a defect; nothing of Defect Spectrum itself is here."
    )


def test_stats_refuses_a_dataset_with_faults(monkeypatch, capsys, home):
    (home / "mvtec_ad" / "bottle" / "test" / "good" / "notes.txt").write_text("x")
    status, out, err = run(monkeypatch, capsys, "data", "stats", "mvtec_ad")
    assert (status, out) == (2, "")
    assert "notes.txt: is not one of .png" in err


def test_verify_of_a_published_dataset(monkeypatch, capsys, home):
    status, out, _ = run(monkeypatch, capsys, "data", "verify", "mvtec_ad")
    assert status == 0
    assert "0 faults" in out
    next((home / "mvtec_ad" / "screw" / "ground_truth").rglob("*.png")).unlink()
    status, _, err = run(monkeypatch, capsys, "data", "verify", "mvtec_ad", "--root", str(home / "mvtec_ad"))
    assert status == 2
    assert "has no mask; get the file anew" in err


@pytest.mark.parametrize("name", ["mvtec_ad", "mvtec-ad"])
def test_a_name_is_the_published_dataset_where_its_folder_lies(monkeypatch, capsys, home, name):
    monkeypatch.chdir(home)
    assert run(monkeypatch, capsys, "data", "verify", name)[0] == 0
    monkeypatch.setenv("DEFECTLIB_DATA", str(home / "elsewhere"))
    assert run(monkeypatch, capsys, "data", "verify", "mvtec_ad")[0] == 0


def test_a_folder_of_ones_own_may_have_the_name_of_a_published_dataset(monkeypatch, capsys, tmp_path):
    write_folder(tmp_path / "cotton")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, capsys, "data", "verify", "cotton")[1].startswith("cotton: 8 images")


@pytest.mark.parametrize("name", names())
def test_a_root_one_level_too_high_names_the_folder_that_was_meant(monkeypatch, capsys, tmp_path, name):
    write = getattr(importlib.import_module(f"tests.data.sources.mini_{name}"), f"write_{name}")
    write(tmp_path / "archive" / "unpacked")
    (tmp_path / "archive" / "another").mkdir()
    status, _, err = run(monkeypatch, capsys, "data", "verify", name, "--root", str(tmp_path / "archive"))
    title = read_manifest(name).title
    assert status == 2
    assert err == (
        f"{tmp_path}/archive: {title} lies one level down; give {tmp_path}/archive/unpacked as --root, "
        "or move its content up\n"
    )


@pytest.mark.parametrize(("options", "written", "empty"), [((), 10, 0), (("--good",), 19, 9)])
def test_convert_writes_images_without_a_defect_only_if_asked(monkeypatch, capsys, tmp_path, options, written, empty):
    """In KolektorSDD2 the mask alone tells what is free of defects."""
    root = write_kolektor(tmp_path / "kolektor")
    command = ("data", "convert", "kolektor", "--root", str(root), "--product", "surface", "--out")
    status, out, _ = run(monkeypatch, capsys, *command, str(tmp_path / "out"), *options)
    assert (status, out) == (0, f"{written} images in {tmp_path / 'out'}\n")
    samples = list(folder.read_dataset(tmp_path / "out"))
    assert (len(samples), sum(not sample.present for sample in samples)) == (written, empty)


def test_convert_says_what_it_skips(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("DEFECTLIB_QUIET", "0")
    page = write_page(tmp_path / "Casting/train" / PAGE, coco("Casting", {"1.png": [(0, [box(1, 1, 9, 9), [2, 2]])]}))
    Image.new("RGB", (WIDTH, HEIGHT)).save(page.parent / "1.png")
    command = ("data", "convert", "vision", "--root", str(tmp_path), "--product", "Casting", "--out", "out")
    monkeypatch.chdir(tmp_path)
    status, _, err = run(monkeypatch, capsys, *command)
    assert status == 0
    assert f"warning: {page}: skipped 1 polygons with fewer than three corners" in err


def test_files_with_a_byte_order_mark_are_read(monkeypatch, capsys, tmp_path):
    root = write_folder(tmp_path / "own")
    (root / "groups.json").write_text(json.dumps({"a": "g"}))
    for path in (root / "classes.json", root / "groups.json"):
        path.write_text(path.read_text(), encoding="utf-8-sig")
    assert run(monkeypatch, capsys, "data", "verify", str(root))[0] == 0


def test_convert_writes_a_folder_that_verify_passes(monkeypatch, capsys, home, tmp_path):
    out = str(tmp_path / "screws")
    command = ("data", "convert", "mvtec_ad", "--product", "screw", "--size", "32", "--out", out)
    status, printed, _ = run(monkeypatch, capsys, *command)
    assert status == 0
    assert printed.endswith(f"images in {out}\n")
    assert run(monkeypatch, capsys, "data", "verify", out)[0] == 0
    status, _, err = run(monkeypatch, capsys, *command)
    assert status == 2
    assert "is there already" in err


@pytest.mark.skipif(not (SHARED / "mvtec").is_dir(), reason="the real MVTec category is not on this machine")
def test_stats_of_a_real_category(monkeypatch, capsys):
    _, out, _ = run(monkeypatch, capsys, "data", "stats", "mvtec_ad", "--root", str(SHARED / "mvtec"), "--json")
    assert json.loads(out)["products"]["toothbrush"]["defective"] == 30
