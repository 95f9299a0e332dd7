"""Images that look alike end on one side of a split, whatever groups.json says."""

import json
import shutil
import time

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from defectlib.data import procedural
from defectlib.data.folder import index, write_dataset
from defectlib.data.loading import folder_data, load
from defectlib.data.twins import GRAY_LEVELS, HASH_BITS, average_hash, merge_twins


def _folder(tmp_path, twins):
    root = tmp_path / "parts"
    write_dataset(root, (procedural.sample("washer", "train", i, size=48) for i in range(24)))
    for first, second in twins:
        for kind in ("images", "masks"):
            shutil.copy(root / kind / f"{first}.png", root / kind / f"{second}_again.png")
    return root


def test_twins_are_one_group_and_others_keep_theirs(tmp_path):
    root = _folder(tmp_path, [("washer_train_00003", "washer_train_00003")])
    table = index(root)
    merged = merge_twins(table).set_index("key")["group"]
    assert merged["washer_train_00003"] == merged["washer_train_00003_again"]
    assert merged.nunique() == len(table) - 1


def test_twins_of_groups_bind_whole_groups(tmp_path):
    root = _folder(tmp_path, [("washer_train_00003", "washer_train_00003")])
    groups = {"washer_train_00003": "a", "washer_train_00000": "a", "washer_train_00003_again": "b"}
    groups["washer_train_00001"] = "b"
    (root / "groups.json").write_text(json.dumps(groups))
    merged = merge_twins(index(root)).set_index("key")["group"]
    assert isinstance(merged, pd.Series)
    assert len({merged[key] for key in groups}) == 1


def test_no_twin_stands_on_both_sides_of_a_split_made_here(tmp_path):
    keys = [f"washer_train_{i:05d}" for i in range(0, 24, 2)]
    dataset = load(folder_data(_folder(tmp_path, [(key, key) for key in keys])))
    train, held = ({sample.key.removesuffix("_again") for sample in side} for side in (dataset.train, dataset.eval))
    assert not train & held


def test_thousands_of_images_before_one_camera_are_compared_in_seconds_and_as_pair_by_pair():
    chance = np.random.default_rng(0)
    background = np.kron(chance.integers(60, 190, (8, 8)), np.ones((4, 4)))
    parts = np.kron(chance.normal(0, 4, (4000, 8, 8)), np.ones((1, 4, 4)))
    parts[200:250] = parts[:50]  # shown again
    noise = chance.normal(0, 1, (4000, 32, 32))
    thumbnails = np.clip(background + parts + noise, 0, 255).astype(np.uint8)
    table = pd.DataFrame({"group": [f"part {i}" for i in range(4000)]})
    started = time.perf_counter()
    merged = merge_twins(table, thumbnails)["group"]
    assert time.perf_counter() - started < 15
    few = thumbnails[:300].astype(np.int16)
    hashes = average_hash(thumbnails[:300])
    near = np.bitwise_count(hashes[:, None] ^ hashes) <= HASH_BITS
    _, expected = connected_components(near & (np.abs(few[:, None] - few).mean(axis=(2, 3)) <= GRAY_LEVELS))
    assert merged[:300].nunique() == expected.max() + 1 == 250
    assert pd.Series(expected).groupby(merged[:300].to_numpy()).nunique().eq(1).all()
