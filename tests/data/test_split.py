"""Splits: no image and no group on both sides, the authors' counts, and manifests that are checked when read."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from defectlib.data import folder
from defectlib.data.split import Split, by_group, class_pixels, class_table, digest, first_shots
from defectlib.errors import UserError
from tests.data.miniatures import CLASSES, PRESENT, labels, message, write_folder

NAMES = ("scratch", "stain", "chip")


def table(rows):
    """A class table from (classes, group) per image."""
    keys = [f"k{number:03d}" for number in range(len(rows))]
    columns = {"key": keys, "group": [group or key for key, (_, group) in zip(keys, rows, strict=True)]}
    return pd.DataFrame(columns).assign(classes=pd.Series([classes for classes, _ in rows], dtype=object))


subsets = st.sets(st.sampled_from(NAMES)).map(lambda chosen: tuple(name for name in NAMES if name in chosen))
tables = st.lists(st.tuples(subsets, st.sampled_from(["", "", "p1", "p2", "p3", "p4"])), min_size=6, max_size=60).map(
    table
)


def sides(images, split):
    rows = images.set_index("key")
    return rows.loc[list(split.train)], rows.loc[list(split.eval)]


def assert_nothing_on_both_sides(images, split):
    train, held = sides(images, split)
    assert not set(split.train) & set(split.eval)
    assert not set(train["group"]) & set(held["group"])
    assert split.faults(dict(zip(images["key"], images["group"], strict=True)), Path("s.json")) == []


def divided(rule, *arguments, **named):
    """The split, or None where the rule says in one line that a class has too few images."""
    told = ""
    try:
        return rule(*arguments, **named)
    except UserError as error:
        told = str(error)
    assert told.startswith("class '")
    assert "but the split needs" in told
    return None


# First shots --------------------------------------------------------------------------------------------------------


@settings(max_examples=70, deadline=None)
@given(tables, st.integers(1, 4))
def test_first_shots_invariants(images, shots):
    split = divided(first_shots, images, NAMES, shots)
    if split is None:
        return
    assert_nothing_on_both_sides(images, split)
    train, held = sides(images, split)
    assert train["group"].is_unique
    siblings = set(images["key"][images["group"].isin(set(train["group"]))]) - set(split.train)
    assert set(images["key"]) - set(split.train) - set(split.eval) == siblings
    for name in NAMES:
        assert sum(name in row for row in train["classes"]) >= shots
        assert any(name in row for row in held["classes"])
    # Every training image was needed when its turn came.
    counts = Counter()
    for classes in train["classes"]:
        assert any(counts[name] < shots for name in classes)
        counts.update(classes)


@settings(max_examples=50, deadline=None)
@given(st.lists(subsets, min_size=6, max_size=40), st.integers(1, 4))
def test_without_groups_first_shots_are_the_first_of_each_type(classes, shots):
    images = table([(row, "") for row in classes])
    wanted = set()
    for name in NAMES:
        shown = [key for key, row in zip(images["key"], classes, strict=True) if name in row]
        assume(len(shown) > shots)
        wanted |= set(shown[:shots])
    assume(
        all(
            any(name in row and key not in wanted for key, row in zip(images["key"], classes, strict=True))
            for name in NAMES
        )
    )
    split = first_shots(images, NAMES, shots)
    assert set(split.train) == wanted
    assert len(split.train) + len(split.eval) == len(images)


def test_the_paper_setting_is_twenty_five_images():
    names = tuple("abcde")
    images = table([((names[number % 5],), "") for number in range(60)] + [((), "")] * 7)
    split = first_shots(images, names, 5)
    assert split.train == tuple(images["key"][:25])
    assert split.eval == tuple(images["key"][25:])
    assert split.rule == "first 5 images of each defect type train"


def test_too_few_images_are_counted():
    images = table([(("scratch",), "")] * 5 + [(("stain",), "")] * 2)
    assert message(first_shots, images, ("scratch", "stain"), 3) == (
        "class 'stain' has 2 images, but the split needs 3 of different groups to train on and one of another to"
        " evaluate; add images, or leave the class out of classes.json and the masks"
    )
    assert "class 'stain' has 2 images" in message(first_shots, images, ("scratch", "stain"), 2)
    assert first_shots(images, ("scratch", "stain"), 1).train == ("k000", "k005")


def test_too_few_groups_are_counted():
    images = table([(("scratch",), "p1")] * 4 + [(("scratch",), "p2")] * 4)
    assert first_shots(images, ("scratch",), 1).eval == ("k004", "k005", "k006", "k007")
    assert "class 'scratch' has 8 images in 2 group(s), but" in message(first_shots, images, ("scratch",), 2)


def test_zero_shots_are_refused():
    assert message(first_shots, table([]), ("scratch",), 0).startswith("shots is 0; at least one image")


# By group -----------------------------------------------------------------------------------------------------------


@settings(max_examples=70, deadline=None)
@given(tables, st.integers(0, 5))
def test_by_group_invariants(images, seed):
    split = divided(by_group, images, NAMES, seed=seed)
    if split is None:
        return
    assert_nothing_on_both_sides(images, split)
    assert sorted(split.train + split.eval) == list(images["key"])
    for side in sides(images, split):
        assert {name for row in side["classes"] for name in row} == set(NAMES)
    assert by_group(images, NAMES, seed=seed) == split


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(5, 40), min_size=4, max_size=4), st.integers(0, 9))
def test_six_in_ten_images_of_each_type_train(amounts, seed):
    kinds = [*((name,) for name in NAMES), ()]
    images = table([(kind, "") for kind, amount in zip(kinds, amounts, strict=True) for _ in range(amount)])
    train, _ = sides(images, by_group(images, NAMES, seed=seed))
    for kind, amount in zip(kinds, amounts, strict=True):
        assert abs(sum(row == kind for row in train["classes"]) - 0.6 * amount) <= 1


@pytest.mark.parametrize("fraction", [0.1, 0.6, 0.9])
@pytest.mark.parametrize("sizes", [(1, 1), (9, 1), (1, 30)])
def test_two_groups_are_enough_for_both_sides(sizes, fraction):
    images = table([(("scratch",), f"p{group}") for group, size in enumerate(sizes) for _ in range(size)])
    split = by_group(images, ("scratch",), fraction)
    assert_nothing_on_both_sides(images, split)
    assert {len(split.train), len(split.eval)} == set(sizes)


def test_another_seed_divides_otherwise():
    images = table([(("scratch",), "")] * 30)
    assert len({by_group(images, ("scratch",), seed=seed).train for seed in range(5)}) == 5


def test_a_type_in_one_group_cannot_be_divided():
    images = table([(("scratch",), "")] * 4 + [(("stain",), "p1")] * 3)
    assert message(by_group, images, ("scratch", "stain")) == (
        "class 'stain' has 3 images in 1 group(s), but the split needs one group to train on and another to evaluate;"
        " add images, or leave the class out of classes.json and the masks"
    )
    assert "class 'chip' has 0 images, but" in message(by_group, images[:4], ("scratch", "chip"))


# Manifests ----------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), min_size=2, max_size=8, unique=True),
    st.one_of(st.none(), st.integers()),
)
def test_a_manifest_is_read_as_it_was_written(tmp_path_factory, keys, seed):
    split = Split(tuple(keys[:1]), tuple(keys[1:]), "by hand", seed)
    path = tmp_path_factory.getbasetemp() / "splits" / "s.json"
    split.write(path)
    assert Split.read(path) == split


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[", "cannot be read as JSON"),
        ("[]", "a split is a JSON object of 'train' and 'eval'"),
        ('{"train": ["a"]}', "a split is a JSON object of 'train' and 'eval'"),
        ('{"train": ["a"], "eval": ["b"], "test": ["c"]}', "a split is a JSON object of 'train' and 'eval'"),
        ('{"train": ["a"], "eval": []}', "'eval' must be a list of at least one key"),
        ('{"train": "a", "eval": ["b"]}', "'train' must be a list of at least one key"),
        ('{"train": [1], "eval": ["b"]}', "'train' must be a list of at least one key"),
        ('{"train": ["a", "a"], "eval": ["b"]}', "'train' names 'a' 2 times; once is enough"),
        ('{"train": ["a"], "eval": ["b"], "seed": "x"}', "'seed' must be a whole number or null, found 'x'"),
    ],
)
def test_bad_manifests(tmp_path, content, fault):
    path = tmp_path / "s.json"
    path.write_text(content)
    told = message(Split.read, path)
    assert told.startswith(f"{path}: ")
    assert fault in told


def test_a_manifest_by_hand_needs_no_rule(tmp_path):
    (tmp_path / "s.json").write_text('{"train": ["a"], "eval": ["b"]}')
    assert Split.read(tmp_path / "s.json") == Split(("a",), ("b",), "given", None)


def test_faults_of_a_split():
    groups = {"a": "p1", "b": "p1", "c": "c"}
    faults = Split(("a", "c", "x"), ("b", "c"), "by hand").faults(groups, Path("s.json"))
    assert faults == [
        "s.json: names 'x', which is no image here; remove the key or add the image",
        "s.json: 'c' trains and evaluates; keep it on one side",
        "s.json: group 'p1' stands on both sides; keep it on one",
    ]


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    told = message(Split(("a",), ("b",), "by hand").write, tmp_path / "file" / "s.json")
    assert told.startswith(f"{tmp_path}/file/s.json: the split cannot be written (")


# Class table and digest ---------------------------------------------------------------------------------------------


def test_class_table_counts_what_the_masks_hold(root):
    images = class_table(folder.index(root), CLASSES).set_index("key")
    assert images["classes"].to_dict() == {
        key: tuple(CLASSES[number - 1] for number in present) for key, present in PRESENT.items()
    }
    assert images["pixels"]["c"] == (12, 12)
    assert images["pixels"]["d"] == ()


def test_class_pixels():
    assert class_pixels(np.array([[0, 1], [3, 3]], np.uint8), 4).tolist() == [1, 0, 2, 0]
    assert class_pixels(np.array([[7]], np.uint8), 2).tolist() == [0, 0]


SPLIT = Split(("a", "b"), ("c", "d"), "by hand")


def rewrite_classes(root):
    (root / "classes.json").write_text('{"1": "scratch", "2": "dent"}')


def repaint(folder_name, key):
    return lambda root: Image.fromarray(labels((1, 2))).save(root / folder_name / f"{key}.png")


@pytest.mark.parametrize(
    "change",
    [
        rewrite_classes,
        repaint("images", "a"),
        repaint("masks", "d"),
        lambda root: (root / "groups.json").write_text(json.dumps({"a": "p1"})),
    ],
)
def test_digest_changes_with_what_the_split_names(root, change):
    before = digest(root, SPLIT)
    change(root)
    assert digest(root, SPLIT) != before


def test_digest_depends_on_content_alone(root, tmp_path):
    before = digest(root, SPLIT)
    assert len(before) == 64
    repaint("masks", "h")(root)  # not named by the split
    (root / "captions.csv").write_text("key,caption\na,words\n")
    assert digest(root, SPLIT) == before
    assert digest(write_folder(tmp_path / "copy"), SPLIT) == before
    assert digest(root, Split(("b", "a"), ("c", "d"), "by hand")) != before


def test_digest_of_a_key_that_is_not_there(root):
    told = message(digest, root, Split(("a", "x"), ("y",), "by hand"))
    assert told == "the split names 2 key(s) that are no image of the folder (x, y); split anew"


def test_magnetic_tile_is_divided_by_group(magnetic_tile, magnetic_tile_table):
    classes, images = folder.read_classes(magnetic_tile), magnetic_tile_table
    for split in (by_group(images, classes), first_shots(images, classes, 5)):
        assert_nothing_on_both_sides(images, split)
    assert len(first_shots(images, classes, 5).train) == 25
    train, held = sides(images, by_group(images, classes))
    assert len(train) + len(held) == 555
    for name in classes:
        count = sum(name in row for row in train["classes"])
        total = count + sum(name in row for row in held["classes"])
        assert abs(count / total - 0.6) < 0.03
