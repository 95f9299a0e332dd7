"""How two masks of one image differ: closed forms, a brute-force reference, and what must hold for any pair."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from defectlib.data.agreement import Annotation, agreement, agreement_table, boundary_distances, join

CLASSES = ("scratch", "dent", "stain")
MASKS = arrays(np.uint8, (7, 9), elements=st.integers(0, 3))


def annotation(mask, classes=CLASSES):
    return Annotation(np.asarray(mask, np.uint8), classes)


def rectangle(top, left, height, width, size=40):
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def disc(radius, size=201):
    rows, columns = np.indices((size, size)) - size // 2
    return (rows**2 + columns**2 <= radius**2).astype(np.uint8)


def edge(region):
    """Boundary pixels, by looking at each one's neighbours."""
    padded = np.pad(region, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.argwhere(region & ~inner)


@pytest.mark.parametrize(("height", "width", "shift"), [(9, 12, 1), (10, 15, 3), (7, 20, 5), (20, 11, 4)])
def test_a_shifted_rectangle(height, width, shift):
    found = agreement(annotation(rectangle(5, 4, height, width)), annotation(rectangle(5, 4 + shift, height, width)))
    assert found.iou == pytest.approx((width - shift) / (width + shift))
    assert found.area_change == 0
    # One side is `shift` away from its copy. The other lies inside, where top and bottom may be nearer, and so do the
    # ends of top and bottom, whose nearest point is a corner.
    side = height * shift
    other = sum(min(shift, row, height - 1 - row) for row in range(height))
    ends = shift * (shift - 1)
    assert found.distance == pytest.approx((side + other + ends) / (2 * height + 2 * (width - 2)))


@pytest.mark.parametrize("shift", [1, 3, 12])
def test_lines_lie_as_far_apart_as_they_were_shifted(shift):
    found = agreement(annotation(rectangle(5, 4, 20, 1)), annotation(rectangle(5, 4 + shift, 20, 1)))
    assert (found.iou, found.distance, found.distance95) == (0, shift, shift)


@pytest.mark.parametrize(("inner", "outer"), [(20, 30), (40, 80), (10, 90)])
def test_nested_discs(inner, outer):
    found = agreement(annotation(disc(outer)), annotation(disc(inner)))
    assert found.iou == pytest.approx((inner / outer) ** 2, rel=0.02)
    assert found.area_change == pytest.approx(found.iou - 1)
    assert found.distance == pytest.approx(outer - inner, abs=0.5)
    assert found.distance <= found.distance95 < outer - inner + 1


def test_the_percentile_sees_a_far_part_that_the_mean_hides():
    square = rectangle(2, 2, 20, 20)
    with_spot = square | rectangle(30, 30, 6, 6)
    found = agreement(annotation(square), annotation(with_spot))
    far = boundary_distances(square > 0, with_spot > 0)
    assert np.count_nonzero(far) == 20  # the boundary of a 6 x 6 spot
    assert found.distance == pytest.approx(far.sum() / (76 + 76 + 20))
    assert found.distance95 > 5 * found.distance


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS)
def test_distances_are_those_of_comparing_every_pixel_with_every_other(a, b):
    old, new = a > 1, b > 1
    if old.any() and new.any():
        between = cdist(edge(old), edge(new))
        expected = np.concatenate([between.min(axis=1), between.min(axis=0)])
        np.testing.assert_allclose(np.sort(boundary_distances(old, new)), np.sort(expected))


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_a_mask_agrees_with_itself(mask):
    found = agreement(annotation(mask), annotation(mask))
    assert (found.iou, found.area_change, found.distance, found.distance95) == (1, 0, 0, 0)
    assert (found.added, found.removed, found.became_multi_type) == ((), (), False)


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS)
def test_exchanging_the_two_changes_only_the_direction(a, b):
    there, back = agreement(annotation(a), annotation(b)), agreement(annotation(b), annotation(a))
    np.testing.assert_allclose(
        [there.iou, there.distance, there.distance95], [back.iou, back.distance, back.distance95]
    )
    assert (there.added, there.types_before) == (back.removed, back.types_after)
    if a.any() and b.any():
        assert (1 + there.area_change) * (1 + back.area_change) == pytest.approx(1)


def test_a_mask_without_a_defect_has_no_boundary():
    empty, full = annotation(np.zeros((8, 8))), annotation(np.ones((8, 8)))
    found = agreement(empty, full)
    assert found.iou == 0
    assert math.isnan(found.area_change)
    assert math.isnan(found.distance)
    assert math.isnan(found.distance95)
    found = agreement(full, empty)
    assert (found.iou, found.area_change) == (0, -1)
    assert math.isnan(found.distance)


def test_types_are_compared_by_name_however_they_are_numbered():
    before = annotation([[1, 1, 0, 0]], ("bent", "scratch"))
    after = annotation([[2, 2, 3, 1]], ("scratch", "bent", "color"))
    found = agreement(before, after)
    assert found.types_before == ("bent",)
    assert found.types_after == ("scratch", "bent", "color")
    assert (found.added, found.removed) == (("scratch", "color"), ())
    assert found.became_multi_type
    back = agreement(after, before)
    assert (back.added, back.removed, back.became_multi_type) == ((), ("scratch", "color"), False)


def test_an_image_with_several_types_before_does_not_become_one():
    assert not agreement(annotation([[1, 2, 0]]), annotation([[1, 2, 3]])).became_multi_type


def test_masks_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"one size, got \(2, 3\) and \(3, 2\)"):
        agreement(annotation(np.zeros((2, 3))), annotation(np.zeros((3, 2))))


def test_the_table_has_one_row_per_image():
    same = agreement(annotation([[1, 2]]), annotation([[1, 2]]))
    lost = agreement(annotation([[1, 2]]), annotation([[1, 0]]))
    table = agreement_table([(("washer", "b"), same), (("softgel", "c"), lost), (("washer", "a"), lost)])
    assert list(table.index) == [("softgel", "c"), ("washer", "a"), ("washer", "b")]
    assert table.index.names == ["product", "key"]
    assert table.loc[("washer", "a"), "iou"] == 0.5
    assert table.loc[("washer", "a"), "removed"] == ("dent",)
    with pytest.raises(ValueError, match="an image occurs twice: washer a"):
        agreement_table([(("washer", "a"), same), (("washer", "a"), lost)])
    with pytest.raises(ValueError, match="no pair of annotations"):
        agreement_table([])


def test_join_names_what_stands_on_one_side_only():
    before = {("nut", "1"): "x", ("nut", "2"): "y", ("cap", "9"): "z"}
    after = {("nut", "2"): 2, ("nut", "1"): 1, ("nut", "3"): 3}
    joined = join(before, after)
    assert joined.pairs == {("nut", "1"): ("x", 1), ("nut", "2"): ("y", 2)}
    assert joined.only_before == (("cap", "9"),)
    assert joined.only_after == (("nut", "3"),)
