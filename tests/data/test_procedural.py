"""The embedded dataset: pinned pixels, exact masks, honest captions, and scenes that render alike at every size."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from defectlib.data import procedural
from defectlib.data.procedural import PRODUCTS, SPLITS, rendering
from defectlib.data.procedural.scenes import GAP
from defectlib.data.sample import Sample

NAMES = tuple(PRODUCTS)

PINNED = {
    ("softgel", "train", 0, 64): "2e278959174d8caf",
    ("softgel", "train", 1, 64): "0061745a5949091c",
    ("softgel", "eval", 7, 64): "514c3e608c9fb07e",
    ("softgel", "good", 2, 64): "1e299d75af8941d6",
    ("softgel", "train", 3, 128): "4ba7cd86203c243d",
    ("washer", "train", 0, 64): "55d2bce26318ccea",
    ("washer", "train", 1, 64): "f055fc1bae1cc9cd",
    ("washer", "eval", 7, 64): "5bef7ddeb50a23ff",
    ("washer", "good", 2, 64): "3c645d1f6d93e031",
    ("washer", "train", 3, 128): "0c10fc3bbd27c40c",
    ("twill", "train", 0, 64): "5f17c516c8e75293",
    ("twill", "train", 1, 64): "3f1b8fab00d73a2b",
    ("twill", "eval", 7, 64): "5988ba880d0a9a43",
    ("twill", "good", 2, 64): "d4d0f5f232f86107",
    ("twill", "train", 3, 128): "9d1b5b8de0c34d81",
    ("brushed_plate", "train", 0, 64): "a9a823f98791f74b",
    ("brushed_plate", "train", 1, 64): "7d9ffe01b709885d",
    ("brushed_plate", "eval", 7, 64): "e5f0695f865322e0",
    ("brushed_plate", "good", 2, 64): "48e7de896915ab67",
    ("brushed_plate", "train", 3, 128): "42a2f078e1c47de0",
}
"""SHA-256, cut to 16 digits, of image and mask by (product, split, index, size)."""


def digest(sample: Sample) -> str:
    return hashlib.sha256(sample.image.tobytes() + sample.mask.tobytes()).hexdigest()[:16]


def shrink(values: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of factor × factor of an array (H, W, ...)."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    return values.reshape(height, factor, width, factor, *values.shape[2:]).mean(axis=(1, 3))


@pytest.fixture(scope="module")
def many() -> dict[str, list[tuple[procedural.Scene, Sample]]]:
    """The first thirty evaluation images of every product at 64 px, with their scenes."""
    scenes = {name: [procedural.scene(name, "eval", i) for i in range(30)] for name in NAMES}
    return {name: [(scene, procedural.render(scene)) for scene in scenes[name]] for name in NAMES}


@pytest.mark.parametrize("case", PINNED, ids=lambda case: "-".join(map(str, case)))
def test_pixels_are_the_same_on_every_machine(case: tuple[str, str, int, int]) -> None:
    product, split, index, size = case
    assert digest(procedural.sample(product, split, index, size=size)) == PINNED[case], (
        "pixels changed: artifacts trained on the old ones no longer match, so raise VERSION and pin anew"
    )


def test_the_four_products() -> None:
    assert {name: product.kind for name, product in PRODUCTS.items()} == {
        "softgel": "object",
        "washer": "object",
        "twill": "texture",
        "brushed_plate": "texture",
    }
    for name, product in PRODUCTS.items():
        assert product.name == name
        assert 4 <= len(product.classes) <= 5
        assert len(set(product.classes)) == len(product.classes)
        assert product.description.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_the_primary_type_is_the_index_modulo_k_and_shows(name: str, many) -> None:
    classes = PRODUCTS[name].classes
    for index, (scene, sample) in enumerate(many[name]):
        assert scene.defects[0].kind == classes[index % len(classes)]
        assert scene.defects[0].kind in sample.present


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_holds_what_the_scene_says(name: str, many) -> None:
    for scene, sample in many[name]:
        assert set(sample.present) == {defect.kind for defect in scene.defects}
        assert sample.key == scene.key
        assert sample.classes == PRODUCTS[name].classes


@pytest.mark.parametrize("name", NAMES)
def test_no_type_is_too_small_to_see(name: str, many) -> None:
    classes = PRODUCTS[name].classes
    areas = {kind: [] for kind in classes}
    for _, sample in many[name]:
        for kind in sample.present:
            areas[kind].append(int((sample.mask == classes.index(kind) + 1).sum()))
    assert min(min(found) for found in areas.values()) >= 14  # a spot four pixels across has 12.6
    assert max(max(found) for found in areas.values()) < 64 * 64 / 3
    thin = classes[0]  # scratches and snags come first
    assert min(areas[thin]) >= 30


@pytest.mark.parametrize("name", NAMES)
def test_defects_stand_out_from_what_they_lie_on(name: str) -> None:
    """Against the same scene without its defects, the mask is where the picture differs, and nowhere else."""
    for index in range(10):
        scene = procedural.scene(name, "eval", index)
        clean = procedural.render(procedural.Scene(scene.key, scene.product, scene.look, ()))
        sample = procedural.render(scene)
        change = np.abs(sample.image.astype(int) - clean.image).max(axis=2)
        touched = np.maximum.reduce(
            [np.roll(sample.mask > 0, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        )
        assert change[~touched].max() == 0
        assert np.median(change[sample.mask > 0]) > 30


@pytest.mark.parametrize("name", NAMES)
def test_about_one_image_in_six_shows_several_types(name: str) -> None:
    kinds = [[d.kind for d in procedural.scene(name, "oracle", i).defects] for i in range(600)]
    several = np.mean([len(set(kind)) > 1 for kind in kinds])
    twice = np.mean([len(set(kind)) < len(kind) for kind in kinds])
    assert 0.11 < several < 0.22
    assert 0.06 < twice < 0.20
    assert max(map(len, kinds)) == 3


@pytest.mark.parametrize("name", NAMES)
def test_defects_keep_their_distance(name: str) -> None:
    scenes = [procedural.scene(name, "train", i) for i in range(200)]
    pairs = [(a, b) for s in scenes for i, a in enumerate(s.defects) for b in s.defects[:i]]
    assert len(pairs) > 20
    for a, b in pairs:
        gaps = a.spine()[:, None] - b.spine()[None]
        assert np.hypot(gaps[..., 0], gaps[..., 1]).min() > 0.5 * (a.width + b.width) + GAP


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_looks_alike_at_every_size(name: str) -> None:
    overlap = union = 0
    for index in range(3):
        scene = procedural.scene(name, "train", index)
        small, large = procedural.render(scene, 64), procedural.render(scene, 256)
        assert large.image.shape == (256, 256, 3)
        difference = np.abs(shrink(large.image.astype(float), 4) - small.image)
        assert difference.mean() < 2.0
        for class_id in range(1, len(small.classes) + 1):
            here, there = small.mask == class_id, shrink(large.mask == class_id, 4) >= 0.5
            overlap, union = overlap + (here & there).sum(), union + (here | there).sum()
    assert overlap / union > 0.9


@pytest.mark.parametrize("size", [32, 33, 100, 512])
def test_any_size_from_32_to_512(size: int) -> None:
    sample = procedural.sample("washer", "train", 3, size=size)
    assert sample.image.shape == (size, size, 3)
    assert sample.mask.shape == (size, size)
    assert sample.present == ("burr",)


@given(
    product=st.sampled_from(NAMES),
    split=st.sampled_from(SPLITS),
    index=st.integers(0, 99_999),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_captions_name_what_is_there_and_nothing_else(product: str, split: str, index: int, seed: int) -> None:
    scene = procedural.scene(product, split, index, seed)
    text = procedural.caption(PRODUCTS[product], scene)
    words = text.lower().rstrip(".").replace(",", "").split()
    for kind in PRODUCTS[product].classes:
        assert words.count(kind) == sum(defect.kind == kind for defect in scene.defects)
    assert scene.look.words in text
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text
    assert ("without a fault" in text) == (split == "good")


@given(
    product=st.sampled_from(NAMES),
    split=st.sampled_from(SPLITS),
    index=st.integers(0, 99_999),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_every_image_is_well_formed_and_follows_from_its_name(product: str, split: str, index: int, seed: int) -> None:
    first = procedural.sample(product, split, index, size=32, seed=seed)
    procedural.sample(product, split, index + 1, size=32, seed=seed)
    again = procedural.sample(product, split, index, size=32, seed=seed)
    assert digest(first) == digest(again)
    assert first.key == f"{product}_{split}_{index:05d}"
    assert first.source == f"procedural v{procedural.VERSION}"
    assert first.image.std() > 5
    assert (first.mask.max() == 0) == (split == "good")


@pytest.mark.parametrize("name", NAMES)
def test_splits_seeds_and_indices_give_different_images(name: str) -> None:
    found = {digest(procedural.sample(name, split, i, size=32)) for split in SPLITS for i in (0, 5)}
    found.add(digest(procedural.sample(name, "train", 0, size=32, seed=1)))
    assert len(found) == 2 * len(SPLITS) + 1


@pytest.mark.parametrize("name", NAMES)
def test_good_images_have_no_defect(name: str) -> None:
    for index in range(8):
        sample = procedural.sample(name, "good", index)
        assert not sample.mask.any()
        assert sample.present == ()
        assert not any(kind in sample.caption for kind in sample.classes)


def test_captions_say_where_and_how_large() -> None:
    assert (
        procedural.sample("softgel", "eval", 0).caption
        == "A softgel capsule, amber and cream, with a long thin scratch across its centre."
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            ("sotfgel", "train", 0),
            r"unknown product 'sotfgel'; did you mean 'softgel'\? choose from softgel, washer",
        ),
        (("zzz", "train", 0), r"unknown product 'zzz'; choose from softgel, washer, twill, brushed_plate"),
        (
            ("washer", "evaluation", 0),
            r"unknown split 'evaluation'; did you mean 'eval'\? choose from train, eval",
        ),
        (("washer", "train", -1), r"index -1 is negative"),
    ],
)
def test_errors_name_what_is_valid(call: tuple[str, str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        procedural.scene(*call)


@pytest.mark.parametrize("size", [0, 31, 513])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size {size} is out of range; choose 32 to 512"):
        procedural.sample("twill", "train", 0, size=size)


def test_a_pixel_needs_half_its_points_and_goes_to_the_majority() -> None:
    canvas = rendering.Canvas.blank(32)
    label = canvas.label
    label[0:3, 0:3].flat[:4] = 1  # 4 of 9: background
    label[0:3, 3:6] = [[1, 1, 1], [2, 2, 2], [2, 0, 0]]  # 7 of 9, most of them 2
    label[0:3, 6:9] = [[2, 2, 2], [1, 1, 1], [0, 0, 0]]  # a tie: the lower id
    _, mask = canvas.pixels()
    assert mask[0, :4].tolist() == [0, 2, 1, 0]
    assert mask[1:].max() == 0


def test_noise_is_pinned_bounded_and_joins_smoothly() -> None:
    hashes = rendering.lattice(np.array([0, 1, -1]), np.array([0, 2, -5]), 7)
    np.testing.assert_allclose(hashes, [0.0729703985808493, 0.7768176167594748, 0.3173790768575565], rtol=0, atol=1e-15)
    x = np.linspace(-4.0, 4.0, 4001)[None, :]
    values = rendering.noise(x, 0.3 * x, 11)
    assert np.abs(values).max() <= 1.0
    assert np.abs(np.diff(values)).max() < 0.01  # steepest slope is 3 a unit, times 0.002
    canvas = rendering.Canvas.blank(48)
    even, free = rendering.even_noise(canvas, 0.25, 5), rendering.noise(canvas.x / 0.25, canvas.y / 0.25, 5)
    np.testing.assert_allclose(even, free, atol=1e-12)


def test_a_window_paints_on_the_canvas_it_was_cut_from() -> None:
    canvas = rendering.Canvas.blank(32)
    window = canvas.window(0.5, 0.25, 0.1)
    assert np.abs(window.x - 0.5).max() <= 0.1 + 1 / 96
    window.blend(np.ones(window.x.shape), (1.0, 0.5, 0.0))
    assert canvas.rgb[0].sum() == window.x.size
    assert canvas.window(5.0, -5.0, 0.1).x.size >= 1
