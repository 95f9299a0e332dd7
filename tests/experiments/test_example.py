"""The example of «your own defects»: photographs that a simulated annotator labels with the tool's own parts."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from defectclick.clicks import Click
from defectclick.labelling import Labelling
from defectlib.data import folder, procedural, verify
from defectlib.experiments import example
from defectlib.profiles import load_profile

SIDE, COUNT = 64, 6


class Oracle:
    """Marks what the truth has of the latest click's type; a click where that has nothing marks a square."""

    name = "oracle"

    def __init__(self, truth: dict[bytes, np.ndarray]) -> None:
        self.truth = truth

    def segment(self, image: np.ndarray, clicks: Sequence[Click], previous: np.ndarray) -> np.ndarray:
        truth = self.truth[image.tobytes()]
        return truth == truth[clicks[-1].row, clicks[-1].column]


@pytest.fixture(scope="module")
def truth():
    return {sample.key: sample for sample in example._scenes(SIDE, COUNT)}


@pytest.fixture(scope="module")
def oracle(truth):
    return Oracle({sample.image.tobytes(): sample.mask for sample in truth.values()})


@pytest.fixture
def photographs(tmp_path, truth):
    example._write_photographs(tmp_path / "photographs", truth)
    return tmp_path / "photographs"


def test_the_labelled_folder_is_a_dataset_whose_masks_fit(tmp_path, truth, oracle, photographs):
    example.label(photographs, tmp_path / "labelled", truth, oracle)
    assert not verify.verify(tmp_path / "labelled").faults
    saved = folder.read_dataset(tmp_path / "labelled")
    assert {one.key for one in saved} == set(truth)
    assert all(np.array_equal(one.mask, truth[one.key].mask) for one in saved)


def test_clicks_are_counted_by_type(tmp_path, truth, oracle, photographs):
    example.label(photographs, tmp_path / "labelled", truth, oracle)
    table = example.labels(tmp_path / "labelled")
    types = [name for sample in truth.values() for name in sample.present]
    assert table["images"].to_dict() == {name: types.count(name) for name in dict.fromkeys(types)}
    assert (table["clicks"] == 1).all()  # the oracle needs no second one
    assert "IoU" not in table  # nobody knows the truth about a folder that is not the example


def test_a_hopeless_method_is_given_up_and_what_it_made_is_kept(tmp_path, truth, photographs):
    class Dot:
        name = "dot"

        def segment(self, image, clicks, previous):
            mask = previous.copy()
            mask[clicks[-1].row, clicks[-1].column] = clicks[-1].positive
            return mask

    example.label(photographs, tmp_path / "labelled", truth, Dot())
    table = example.labels(tmp_path / "labelled")
    assert table["clicks"].max() >= example.MOST_CLICKS
    assert all(one.mask.any() for one in folder.read_dataset(tmp_path / "labelled"))


def test_an_annotator_who_is_interrupted_goes_on_with_the_next_image(tmp_path, truth, oracle, photographs, monkeypatch):
    saves, save = [], Labelling.save

    def cut(self, work):
        if len(saves) == 2:
            raise KeyboardInterrupt
        saves.append(work.key)
        save(self, work)

    monkeypatch.setattr(Labelling, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        example.label(photographs, tmp_path / "labelled", truth, oracle)
    opened, opening = [], Labelling.open
    monkeypatch.setattr(Labelling, "save", save)
    monkeypatch.setattr(Labelling, "open", lambda self, key: (opened.append(key), opening(self, key))[1])
    example.label(photographs, tmp_path / "labelled", truth, oracle)
    assert sorted([*saves, *opened]) == sorted(truth)


def test_a_folder_that_was_not_clicked_has_no_labels(tmp_path, truth):
    folder.write_dataset(tmp_path / "drawn", truth.values())
    assert example.labels(tmp_path / "drawn") is None
    assert example.compared(tmp_path / "drawn") == []


def test_the_example_of_the_package_fits_the_truth(tmp_path, monkeypatch):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    root = example.example_folder(load_profile("smoke"))
    assert example.is_example(root)
    assert json.loads((root / "provenance.json").read_text())["product"] == example.PRODUCT
    pairs = example.compared(root)
    assert [a.key for a, _ in pairs] == [b.key for _, b in pairs]
    table = example.labels(root)
    assert set(table.index) <= set(procedural.PRODUCTS[example.PRODUCT].classes)
    shared = sum(int(((a.mask > 0) & (b.mask > 0)).sum()) for a, b in pairs)
    either = sum(int(((a.mask > 0) | (b.mask > 0)).sum()) for a, b in pairs)
    assert shared / either > 0.5
    assert [path.name for path in root.parent.iterdir() if path.name.endswith("unfinished")] == []
