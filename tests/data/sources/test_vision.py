"""VISION: polygons against closed forms and a point-in-polygon reference, and every way a COCO file can be wrong."""

import json
import math
import shutil
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from defectlib.data.sources.manifest import read_manifest
from defectlib.data.sources.source import UNLABELLED, rows
from defectlib.data.sources.vision import Picture, Vision, render
from defectlib.errors import UserError, UserErrors
from defectlib.plots.paper import table1
from tests.data.sources.mini_vision import HEIGHT, PAGE, WIDTH, box, coco, write_page, write_vision
from tests.data.sources.miniature import listed, photograph

ONE = "000001.jpg"


def drawn(*marks, size=(WIDTH, HEIGHT)):
    return render(Picture(*size, list(marks)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_vision(tmp_path_factory.mktemp("vision"))


@pytest.fixture
def casting(tmp_path):
    """Casting/train with one image, without its JSON."""
    folder = tmp_path / "Casting/train"
    folder.mkdir(parents=True)
    Image.fromarray(photograph(ONE)).save(folder / ONE)
    return folder


def faults_of(folder, content):
    """What opening says of Casting/train with this JSON, its path cut off, less the line on the image itself."""
    page = write_page(folder / PAGE, content)
    faults = Vision(folder.parents[1]).faults
    return [fault.removeprefix(f"{page}: ") for fault in faults if not fault.startswith(f"{folder / ONE}: ")]


def spoiled(segmentation, **changes):
    content = coco("Casting", {ONE: [(0, segmentation)]})
    content["annotations"][0] |= changes
    return content


# Rows ---------------------------------------------------------------------------------------------------------------


def test_the_miniature_is_read_whole(whole):
    vision = Vision(whole)
    vision.check()
    images = [line for line in listed("vision") if line.endswith(".jpg")]
    assert sorted(vision.table["image"]) == sorted(str(whole / line) for line in images)
    assert set(vision.table["split"]) == {"train", "val", "inference"}
    assert vision.classes["Casting"] == ("Inclusoes", "Rechupe")
    assert len(vision.classes) == 14


def test_a_box_is_drawn_and_named(whole):
    vision = Vision(whole)
    (row,) = rows(vision, product="Cylinder", key="train_000007")
    assert row.mask == str(whole / "Cylinder/train" / PAGE)
    assert row.label == "Chip"
    sample = vision.sample(row)
    wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
    wanted[5:8, 5:8] = 1
    assert np.array_equal(sample.mask, wanted)
    assert sample.present == ("Chip",)


def test_inference_is_unlabelled(whole):
    vision = Vision(whole)
    (row,) = rows(vision, product="Cylinder", split="inference")
    assert (row.label, row.mask) == (UNLABELLED, "")
    with pytest.raises(UserError, match=r"Cylinder/inference/000000\.jpg: has no annotation; choose rows"):
        vision.sample(row)


def test_an_image_may_show_several_types_or_none(casting):
    shutil.copy(casting / ONE, casting / "000002.jpg")
    marks = {ONE: [(1, [box(0, 0, 3, 3)]), (0, [box(10, 10, 12, 12), box(15, 10, 17, 12)])], "000002.jpg": []}
    write_page(casting / PAGE, coco("Casting", marks))
    vision = Vision(casting.parents[1])
    vision.check()
    several, none = rows(vision)
    assert several.label == none.label == ""
    assert vision.sample(several).present == ("Inclusoes", "Rechupe")
    assert np.array_equal(np.bincount(vision.mask(several).ravel()), [WIDTH * HEIGHT - 17, 2 * 4, 9])
    assert not vision.sample(none).mask.any()


def test_types_are_joined_by_name_not_by_id(casting):
    content = spoiled([box(0, 0, 3, 3)], category_id=7)
    content["categories"] = [{"id": 7, "name": "Rechupe"}, {"id": 1, "name": "defects"}]  # the last is not used
    assert faults_of(casting, content) == []
    (row,) = rows(vision := Vision(casting.parents[1]))
    assert row.label == "Rechupe"
    assert set(np.unique(vision.mask(row))) == {0, 2}


def test_an_image_of_another_size_is_refused(whole, tmp_path):
    root = tmp_path / "vision"
    shutil.copytree(whole / "Wood", root / "Wood")
    Image.fromarray(photograph("", (30, 20))).save(root / "Wood/val/000002.jpg")
    vision = Vision(root)
    (row,) = rows(vision, split="val")
    assert vision.mask(row).shape == (HEIGHT, WIDTH)
    message = f"{row.image}: is 30 x 20 pixels but {PAGE} draws on 24 x 20; get both from the same archive"
    with pytest.raises(UserError) as caught:
        vision.sample(row)
    assert str(caught.value) == message


def test_each_json_is_parsed_once(whole, monkeypatch):
    calls = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda *args, **kwargs: calls.append(1) or loads(*args, **kwargs))
    vision = Vision(whole)
    for row in rows(vision, split="train"):
        vision.mask(row)
    assert len(calls) == 14 * 2


# Drawing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [3, 8, 16, 64])
def test_squares_have_their_area_on_average(side):
    rng, areas = np.random.default_rng(side), []
    for _ in range(300):
        angle, centre = rng.uniform(0, math.pi / 2), rng.uniform(60, 61, 2)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2 @ turn + centre
        areas.append(drawn((1, [corners.ravel().tolist()]), size=(120, 120)).sum())
    assert np.mean(areas) / side**2 == pytest.approx(1, abs=0.02)


def test_the_middle_of_a_pixel_decides():
    marked = np.argwhere(drawn((1, [[6, 3, 3.5, 2, 1, 2]])))
    assert marked.tolist() == [[2, 3], [2, 4]]
    wanted = np.zeros((HEIGHT, WIDTH), bool)
    wanted[2:10, 2:10] = True
    for square in (box(2, 2, 10, 10), box(1.6, 2.4, 10.4, 9.6), box(2.5, 2.5, 10.5, 10.5)):
        assert np.array_equal(drawn((1, [square])) == 1, wanted)
    assert drawn((1, [box(-5, -5, WIDTH + 9, HEIGHT + 9)])).all()


@pytest.mark.parametrize(
    ("polygon", "pixels"),
    [
        ([2, 4.1, 12, 4.1, 12, 4.2, 2, 4.2], [(4, x) for x in range(2, 13)]),
        ([0.2, 0.8, 3.2, 3.8, 0.2, 0.8], [(i, i) for i in range(4)]),
        ([7.7, 3.2] * 3, [(3, 7)]),
        (box(-9, 5.6, 0.4, 5.9), [(5, 0)]),
    ],
    ids=["thinner than a pixel", "a line", "a point", "at the edge of the image"],
)
def test_a_polygon_without_the_middle_of_a_pixel_marks_its_outline(polygon, pixels):
    assert [tuple(pixel) for pixel in np.argwhere(drawn((1, [polygon])))] == pixels


def test_parts_of_an_annotation_are_united_and_the_first_annotation_keeps_its_pixels():
    first, second = (2, [box(2, 2, 6, 6), box(4, 4, 9, 9)]), (1, [box(5, 5, 12, 12)])
    mask = drawn(first, second)
    assert np.array_equal(mask == 2, drawn(first) == 2)
    assert np.array_equal(mask == 1, (drawn(second) == 1) & (mask != 2))
    assert (drawn(second, first) == 1).sum() == 49


_MARKS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.lists(st.lists(st.floats(-8, 30), min_size=6, max_size=10).map(lambda v: v[: len(v) // 2 * 2]), min_size=1),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(_MARKS, _MARKS)
def test_later_annotations_never_erase_earlier_ones(earlier, later):
    before, after = drawn(*earlier), drawn(*earlier, *later)
    assert np.array_equal(after[before > 0], before[before > 0])
    assert np.array_equal(after > 0, (before > 0) | (drawn(*later) > 0))


def enclosed(corners, x, y):
    """Whether a point is inside, by the number of edges that a ray to the right crosses."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            crossings += 1
    return crossings % 2 == 1


def distance(corners, x, y):
    """From a point to the outline."""
    nearest = math.inf
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = 0 if length == 0 else min(1, max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length))
        nearest = min(nearest, math.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    return nearest


@st.composite
def _star(draw):
    """A polygon without crossings: corners around a point, by rising angle."""
    angles = sorted(draw(st.lists(st.floats(0, 6.2), min_size=3, max_size=9, unique=True)))
    radii = [draw(st.floats(1, 14)) for _ in angles]
    centre = draw(st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT)))
    pairs = zip(angles, radii, strict=True)
    return [(centre[0] + r * math.cos(a), centre[1] + r * math.sin(a)) for a, r in pairs]


_HALVES = st.lists(
    st.tuples(st.integers(-8, 2 * WIDTH + 8), st.integers(-8, 2 * HEIGHT + 8)), min_size=3, max_size=8, unique=True
).map(lambda corners: [(x / 2, y / 2) for x, y in corners])


@settings(max_examples=100, deadline=None)
@given(_star() | _HALVES)
def test_a_polygon_marks_the_pixels_whose_middle_it_encloses(corners):
    """Whatever the corners are, crossings included; a middle on the outline itself may lie on either side."""
    mask = drawn((1, [[value for corner in corners for value in corner]]))
    pixels = [(i, j) for j in range(HEIGHT) for i in range(WIDTH) if distance(corners, i + 0.5, j + 0.5) > 1e-9]
    wanted = {(i, j): enclosed(corners, i + 0.5, j + 0.5) for i, j in pixels}
    if any(wanted.values()):
        assert {(i, j): bool(mask[j, i]) for i, j in pixels} == wanted
    else:  # its outline, to within a pixel
        assert all(distance(corners, i + 0.5, j + 0.5) < 1.5 for j, i in np.argwhere(mask))


@given(st.integers(4, 16), st.integers(4, 16))
def test_polygons_that_share_an_edge_share_no_pixel(x, y):
    corners = [(0.5, 0.5), (10.5, 0.5), (10.5, 10.5), (0.5, 10.5), (0.5, 0.5)]
    parts = [drawn((1, [[*a, *b, x / 2 + 0.5, y / 2 + 0.5]])) for a, b in pairwise(corners)]
    assert np.array_equal(sum(parts), drawn((1, [box(0.5, 0.5, 10.5, 10.5)])))


# Faults -------------------------------------------------------------------------------------------------------------

MEND = "; mend it or get the archive anew"


@pytest.mark.parametrize(("number", "name"), [(math.nan, "NaN"), (math.inf, "Infinity")])
def test_what_is_no_number_of_json_is_a_fault(casting, number, name):
    (fault,) = faults_of(casting, spoiled([[1, 1, 5, number, 1, 5]]))
    assert fault == f"cannot be read as JSON ({name} is no number of JSON); mend or remove it"


@pytest.mark.parametrize(
    ("segmentation", "fault"),
    [
        ({"counts": [0, 9], "size": [20, 24]}, "is a run-length code, where VISION has polygons"),
        *(
            (value, "'segmentation' is no list of polygons, each x, y, x, y, ... in pixels")
            for value in ([[1, 1, 5, "5", 1, 5]], [[1, 1, 5, True, 1, 5]], [1, 1, 5, 1, 5, 5], "all", [[1e300] * 6])
        ),
    ],
)  # fmt: skip
def test_malformed_polygons(casting, segmentation, fault):
    assert faults_of(casting, spoiled(segmentation)) == [f"annotation 1 of 1: {fault}{MEND}"]


GOOD_BOX = box(2, 2, 5, 5)


@pytest.mark.parametrize(
    ("segmentation", "skipped"),
    [
        ([GOOD_BOX, [1, 1, 5, 5]], (1, 0, 0)),
        ([[], GOOD_BOX, [1] * 7, [3, 3]], (3, 0, 0)),
        ([GOOD_BOX, box(-9, 2, -2, 5), box(24, 2, 30, 5), box(2, 20, 5, 25), box(2, -9, 5, -0.1)], (4, 0, 0)),
        ([[1, 1, 5, 5]], (1, 1, 1)),
        *((value, (0, 1, 1)) for value in ([], None)),
    ],
)  # fmt: skip
def test_what_other_readers_skip_is_skipped_and_counted(casting, segmentation, skipped):
    shutil.copy(casting / ONE, casting / "000002.jpg")
    page = write_page(casting / PAGE, coco("Casting", {ONE: [(0, segmentation)], "000002.jpg": [(1, [GOOD_BOX])]}))
    vision = Vision(casting.parents[1])
    vision.check()
    polygons, annotations, images = skipped
    assert vision.notes == [
        f"{page}: skipped {polygons} polygons with fewer than three corners or outside the image, and {annotations} "
        f"annotations without a usable polygon; left out {images} images without a usable annotation"
    ]
    marked = [(row.key, vision.mask(row).sum()) for row in rows(vision)]
    assert marked == [("train_000001", 9), ("train_000002", 18)][images:]  # it would seem free of defects


def test_an_annotation_that_is_skipped_leaves_the_others_of_its_image(casting):
    write_page(casting / PAGE, coco("Casting", {ONE: [(0, []), (1, [GOOD_BOX])]}))
    vision = Vision(casting.parents[1])
    assert [vision.sample(row).present for row in rows(vision)] == [("Rechupe",)]


@pytest.mark.parametrize("file_name", ["train/{}", "/home/me/data/{}", "C:\\data\\{}", "../{}"])
def test_numbers_and_file_names_as_tools_write_them(casting, file_name):
    content = coco("Casting", {ONE: [(1, [GOOD_BOX])]})
    content["images"][0] |= {"id": 0.0, "width": 24.0, "file_name": file_name.format(ONE)}
    content["annotations"][0] |= {"category_id": 1.0}
    del content["annotations"][0]["id"]
    assert faults_of(casting, content) == []
    (row,) = rows(vision := Vision(casting.parents[1]))
    assert vision.sample(row).present == ("Rechupe",)


def test_what_a_fault_spoils_is_named_and_not_used(casting):
    shutil.copy(casting / ONE, casting / "000002.jpg")
    content = coco("Casting", {ONE: [(0, "all")], "000002.jpg": [(1, [box(1, 1, 5, 5)])]})
    page = write_page(casting / PAGE, content)
    vision = Vision(casting.parents[1])
    assert vision.faults[1:] == [
        f"{casting / ONE}: cannot be used while {PAGE} is wrong about it; mend that or remove both"
    ]
    assert [row.key for row in rows(vision)] == ["train_000002"]
    with pytest.raises(UserErrors, match="faults in the layout"):
        vision.check()
    assert str(page) in vision.faults[0]


def test_annotations_without_image_or_category(casting):
    assert faults_of(casting, spoiled([box(1, 1, 5, 5)], image_id=5)) == [
        f"annotation 1 of 1: its image 5 is not listed{MEND}"
    ]
    assert faults_of(casting, spoiled([box(1, 1, 5, 5)], category_id=5)) == [
        f"annotation 1 of 1: its category 5 is not listed{MEND}"
    ]


def test_types_that_the_manifest_does_not_have(casting):
    content = spoiled([box(1, 1, 5, 5)])
    content["categories"][0]["name"] = "inclusao"
    assert faults_of(casting, content) == [
        "unknown defect type 'inclusao': did you mean 'Inclusoes'? known are Inclusoes, Rechupe"
    ]


def test_ids_that_are_given_twice(casting):
    shutil.copy(casting / ONE, casting / "000002.jpg")
    content = coco("Casting", {ONE: [(0, [box(1, 1, 5, 5)])], "000002.jpg": [(1, [box(1, 1, 5, 5)])]})
    content["images"][1]["id"] = 0
    assert f"image 2 of 2: its id 0 is given twice{MEND}" in faults_of(casting, content)
    assert not rows(Vision(casting.parents[1]))  # nobody can tell which image an annotation means
    content["images"][1]["id"] = 1
    content["categories"][1]["id"] = 0
    assert f"category 2 of 2: its id 0 is given twice{MEND}" in faults_of(casting, content)
    assert not rows(Vision(casting.parents[1]))


def test_an_image_that_is_listed_twice(casting):
    content = coco("Casting", {ONE: []})
    content["images"].append({"id": 1, "file_name": f"sub/{ONE}", "width": WIDTH, "height": HEIGHT})
    assert faults_of(casting, content) == [f"image 2 of 2: '{ONE}' is listed twice{MEND}"]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"width": 0}, f"'{ONE}' has no 'width' or 'height' that is a whole number above 0"),
        ({"height": "20"}, f"'{ONE}' has no 'width' or 'height' that is a whole number above 0"),
        ({"height": 20.5}, f"'{ONE}' has no 'width' or 'height' that is a whole number above 0"),
        ({"id": -1}, "has no 'file_name', or no 'id' that is a whole number"),
        ({"width": 10**9}, f"'{ONE}' has more than {Image.MAX_IMAGE_PIXELS:,} pixels"),
    ],
)
def test_malformed_images(casting, change, fault):
    content = coco("Casting", {ONE: []})
    content["images"][0] |= change
    assert faults_of(casting, content) == [f"image 1 of 1: {fault}{MEND}"]


@pytest.mark.parametrize("name", ["000002.jpg", "/etc/hostname", "", "..", "000001.JPG"])
def test_only_files_beside_the_json_can_be_named(casting, name):
    (casting / ONE).unlink()
    lost = f"lists {name.split('/')[-1]!r}, which does not stand beside it; get the archive anew"
    assert faults_of(casting, coco("Casting", {name: []})) == [lost]


def test_an_image_that_the_json_does_not_know(casting):
    write_page(casting / PAGE, coco("Casting", {}))
    faults = Vision(casting.parents[1]).faults
    assert faults == [f"{casting / ONE}: is not listed in {PAGE}; remove it or get the archive anew"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "cannot be read as JSON ("),
        ("[]", "has no list of 'images', as COCO has; get the archive anew"),
        ('{"images": [], "categories": {}}', "has no list of 'categories', as COCO has; get the archive anew"),
        ('{"images": [], "images": []}', "cannot be read as JSON ('images' is given twice)"),
        ("\udcff", "cannot be read as JSON ("),
    ],
)
def test_a_file_that_is_not_coco(casting, text, fault):
    (casting / PAGE).write_bytes(text.encode(errors="surrogateescape"))
    (line,) = Vision(casting.parents[1]).faults
    assert line.startswith(f"{casting / PAGE}: {fault}")
    assert len(line.splitlines()) == 1


def test_entries_that_are_no_entries(casting):
    content = coco("Casting", {ONE: []})
    content["images"].insert(0, 5)
    content["annotations"] = [[], {"image_id": [0], "category_id": {}, "segmentation": []}]
    content["categories"].append("Rechupe")
    faults = faults_of(casting, content)
    assert faults == [
        f"image 1 of 2: is no table of names and values but 5{MEND}",
        f"category 3 of 3: is no table of names and values but 'Rechupe'{MEND}",
        f"annotation 1 of 2: is no table of names and values but []{MEND}",
        f"annotation 2 of 2: its image [0] is not listed{MEND}",
    ]


def test_a_json_that_is_missing(casting):
    page = casting / PAGE
    (line,) = Vision(casting.parents[1]).faults
    assert line == f"{page}: no such file; it marks the images beside it: unpack the archive anew"


def test_folders_that_do_not_belong(casting):
    write_page(casting / PAGE, coco("Casting", {ONE: []}))
    (casting.parent / "valid").mkdir()
    (casting.parents[1] / "PCB1").mkdir()
    first, second = Vision(casting.parents[1]).faults
    assert first.endswith("Casting/valid: unknown split 'valid': did you mean 'val'? known are inference, train, val")
    assert "PCB1: unknown product 'PCB1': did you mean 'PCB_" in second


def test_the_manifest_has_the_types_that_paper_and_publishers_count():
    manifest = read_manifest("vision")
    row = table1().loc[manifest.row]
    assert row["defect types"] == sum(len(product.classes) for product in manifest.products.values()) == 44
    assert len(manifest.products) == 14
    assert row["annotated images"] < manifest.images
