"""A session of one image: clicks, strokes, classes, and the exact way back."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from defectclick.clicks import Click
from defectclick.layers import stroke_mask
from defectclick.records import Record
from defectclick.session import Defect, Edit, Session
from defectlib.errors import UserError

SIDE = 24
WHOLE = slice(0, SIDE), slice(0, SIDE)


class Squares:
    """Takes the 7 × 7 pixels around a click, or gives them back; it depends on all that it is given."""

    name = "squares"

    def segment(self, image, clicks, previous):
        assert previous.dtype == bool
        mask = previous.copy()
        latest = clicks[-1]
        box = np.s_[max(0, latest.row - 3) : latest.row + 4, max(0, latest.column - 3) : latest.column + 4]
        mask[box] = latest.positive
        return mask


@pytest.fixture
def session():
    return Session(np.zeros((SIDE, SIDE, 3), np.uint8), 3, Squares())


def square(row, column):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4] = True
    return mask


def stroke(points, radius):
    return stroke_mask(points, radius, (SIDE, SIDE)).read(WHOLE)


def test_a_click_marks_its_class_and_undo_takes_it_back(session):
    assert not session.undo()
    with pytest.raises(UserError, match="no mask here to take away from: click on the defect first"):
        session.click(5, 5, positive=False)
    session.choose(2)
    session.click(10, 12)
    assert np.array_equal(session.index, 2 * square(10, 12))
    assert session.undo()
    assert not session.index.any()
    assert session.defects == ()
    assert not session.can_undo
    assert session.can_redo
    assert session.redo()
    assert np.array_equal(session.index, 2 * square(10, 12))
    assert session.defects == (Defect(2, (Click(10, 12),)),)
    assert not session.redo()


def test_clicks_of_one_class_go_on_with_its_defect_until_a_new_one_is_begun(session):
    session.click(5, 5)
    session.click(5, 8)
    session.begin(1)
    session.click(18, 18)
    session.choose(2)
    session.click(12, 3)
    session.choose(1)
    session.click(18, 15)
    assert [len(defect.clicks) for defect in session.defects] == [2, 2, 1]
    assert [defect.class_id for defect in session.defects] == [1, 1, 2]
    assert session.defects[1].clicks == (Click(18, 18), Click(18, 15))


def test_what_is_marked_last_is_seen_and_what_it_hid_comes_back(session):
    session.click(10, 10)
    session.choose(2)
    session.click(10, 14)
    one, two = square(10, 10), square(10, 14)
    assert np.array_equal(session.index, np.where(two, 2, one))
    session.click(10, 14, positive=False)
    assert np.array_equal(session.index, one.astype(np.uint8))


def test_a_click_into_what_is_hidden_brings_it_to_the_top(session):
    session.click(10, 10)
    session.choose(2)
    session.click(10, 14)
    session.choose(1)
    session.click(20, 8)  # elsewhere: takes nothing from what lies above
    assert np.array_equal(session.index == 2, square(10, 14))
    session.undo()
    session.click(10, 12)
    assert (session.index[square(10, 12)] == 1).all()
    assert np.array_equal(session.index == 2, square(10, 14) & ~square(10, 12) & ~square(10, 10))


def test_a_negative_click_is_meant_for_the_defect_that_is_seen_there(session):
    session.click(5, 5)
    session.choose(2)
    session.click(18, 18)
    session.click(5, 5, positive=False)
    assert np.array_equal(session.index, 2 * square(18, 18))
    assert session.class_id == 1
    assert session.current == 0
    assert session.defects[0].clicks == (Click(5, 5), Click(5, 5, False))


def test_a_method_that_fails_leaves_the_session_as_it_was(session):
    session.click(5, 5)
    before, standing = session.index.copy(), session.defects

    def broken(*_):
        raise RuntimeError("out of memory")

    session.clicker.segment = broken
    session.begin(2)
    with pytest.raises(RuntimeError, match="out of memory"):
        session.click(15, 15)
    assert np.array_equal(session.index, before)
    assert session.defects == standing
    assert len(session.edits) == 1


def test_a_stroke_is_the_pixels_within_its_radius():
    points, radius = [(5.0, 5.0), (5.0, 15.0), (12.5, 15.0)], 2.5
    rows, columns = np.indices((SIDE, SIDE))
    near = np.full((SIDE, SIDE), np.inf)
    for along in np.linspace(0, 1, 2001):  # points along the line, so densely that none nearer is missed
        for start, end in itertools.pairwise(points):
            place = (1 - along) * np.array(start) + along * np.array(end)
            near = np.minimum(near, np.hypot(rows - place[0], columns - place[1]))
    assert np.array_equal(stroke(points, radius), near <= radius + 1e-6)


def test_the_thinnest_stroke_sets_the_pixel_under_it_and_one_outside_sets_nothing():
    mask = stroke([(3.3, 7.4)], 0)
    assert np.argwhere(mask).tolist() == [[3, 7]]
    assert not stroke([(-9.0, 200.0)], 4).any()
    diagonal = stroke([(0.0, 0.0), (SIDE - 1.0, SIDE - 1.0)], 0.5)
    assert ndimage.label(diagonal, np.ones((3, 3)))[1] == 1


def test_the_brush_marks_the_current_defect_and_the_eraser_takes_whatever_is_there(session):
    session.click(10, 10)
    session.choose(2)
    session.brush([(10, 13)], 2)
    disc = stroke([(10, 13)], 2)
    assert np.array_equal(session.index, np.where(disc, 2, square(10, 10)))
    session.brush([(10, 12)], 1, erase=True)
    gone = stroke([(10, 12)], 1)
    assert not session.index[gone].any(), "what lay below must not come to light"
    assert np.array_equal(session.index[~gone], np.where(disc, 2, square(10, 10))[~gone])


def test_what_the_brush_has_set_stays_when_clicks_follow(session):
    session.click(10, 10)
    session.brush([(10, 8)], 1, erase=True)
    gone = stroke([(10, 8)], 1)
    session.click(10, 11)  # would take the erased pixels again
    assert not session.index[gone].any()
    assert session.index[10, 11] == 1
    session.click(10, 8)  # into what was erased: that is meant
    assert session.index[gone].all()
    session.brush([(18, 10)], 2)
    session.choose(2)
    session.click(18, 14)
    assert (session.index[stroke([(18, 10)], 2)] == 1).all()


def test_clear_takes_everything_and_undo_brings_it_back(session):
    session.click(5, 5)
    session.choose(3)
    session.brush([(18, 3), (18, 20)], 1)
    before, defects = session.index.copy(), session.defects
    session.clear()
    assert not session.index.any()
    assert session.current is None
    session.click(5, 5)
    assert [defect.class_id for defect in session.defects] == [1, 3, 3]
    session.undo()
    session.undo()
    assert np.array_equal(session.index, before)
    assert session.defects == defects


EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("click"), st.integers(0, SIDE - 1), st.integers(0, SIDE - 1), st.booleans()),
        st.tuples(st.just("brush"), st.integers(0, SIDE - 1), st.integers(0, SIDE - 1), st.booleans()),
        st.tuples(st.just("choose"), st.integers(1, 3)),
        st.tuples(st.just("begin"), st.integers(1, 3)),
        st.tuples(st.just("clear")),
    ),
    max_size=12,
)


def act(session, edit):
    name, *values = edit
    if name == "brush":
        session.brush([tuple(values[:2]), (values[1], values[0])], 1.5, erase=values[2])
    elif name == "click" and not values[2] and session.current is None and not session.index[values[0], values[1]]:
        return
    else:
        getattr(session, name)(*values)


def looks(session):
    return session.index.tobytes(), session.defects, [layer.read(WHOLE).tobytes() for layer in session.layers()]


@settings(max_examples=60, deadline=None)
@given(edits=EDITS)
def test_undo_and_redo_are_exact_whatever_was_done(edits):
    session = Session(np.zeros((SIDE, SIDE, 3), np.uint8), 3, Squares())
    states = [looks(session)]
    for edit in edits:
        act(session, edit)
        if len(session.edits) == len(states):
            states.append(looks(session))
    for state in states[-2::-1]:
        assert session.undo()
        assert looks(session) == state
    for state in states[1:]:
        assert session.redo()
        assert looks(session) == state


@settings(max_examples=60, deadline=None)
@given(edits=EDITS)
def test_the_mask_made_in_parts_is_the_mask_made_at_once(edits):
    session = Session(np.zeros((SIDE, SIDE, 3), np.uint8), 3, Squares())
    for edit in edits:
        act(session, edit)
    whole, again = Session(session.image, 3, Squares()), Session(session.image, 3, Squares())
    whole.restore(session.edits, session.defects, session.layers())
    assert np.array_equal(whole.index, session.index)
    assert whole.edits == session.edits
    for edit in session.edits:
        again.apply(edit)
    assert np.array_equal(again.index, session.index)
    assert again.defects == session.defects


def test_memory_goes_by_the_size_of_defects_and_not_of_the_image():
    session = Session(np.zeros((1000, 2000, 3), np.uint8), 3, Squares())
    tracemalloc.start()
    for number in range(20):
        session.begin(1)
        session.click(10 + 40 * number, 20 + 90 * number)
        session.brush([(5 + 40 * number, 20 + 90 * number)], 2)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 6 * session.index.nbytes
    assert len(Record.of(session, "a.png", ("a", "b", "c"), 1, "").to_json()) < 50_000


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (("click", 1, 2, ((3, 3),)), "cannot be the next"),
        (("click", 4, 1, ((3, 3),)), "cannot be the next"),
        (("paint", 0, 1, ((3, 3),)), "cannot be the next"),
        (("click", 2, 0, ((3, 3),)), "not of class 2"),
        (("click", 1, 0, ((3.5, 3),)), "no pixel of the image"),
        (("click", 1, 0, ((SIDE, 3),)), "no pixel of the image"),
        (("click", 1, 0, ((3, -1),)), "no pixel of the image"),
        (("dance",), "an edit is one of"),
        (("click",), "has one point"),
        (("click", 1, 0, ((1, 1), (2, 2))), "has one point"),
        (("paint", 1, 0), "has one point"),
        (("paint", 1, 0, ((float("nan"), 1),)), "must be numbers"),
        (("erase", 0, 0, ((1, 1),), True, -1), "must be numbers"),
    ],
)
def test_an_edit_that_makes_no_sense_or_does_not_fit_is_an_error(session, edit, fault):
    session.click(5, 5)
    with pytest.raises(ValueError, match=fault):
        session.apply(Edit(*edit))
    assert len(session.edits) == 1
