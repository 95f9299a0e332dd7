"""A release, made for real under smoke: both layouts, the card, and the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from defectlib.data import folder, verify
from defectlib.data.sources.source import open_source, rows
from defectlib.errors import UserError
from defectlib.experiments.card import card as write_card
from defectlib.experiments.release import Release
from defectlib.profiles import Profile
from defectlib.settings import Fidelity
from defectlib.store import PROVENANCE, Store, digests, read_provenance

COUNT = 6
PRODUCTS = ("softgel", "brushed_plate")


def release(profile: Profile, store: Store) -> Release:
    return Release(profile, tuple(profile.synthesis(profile.data(p), count=COUNT) for p in PRODUCTS), store=store)


@pytest.fixture(scope="module")
def made(smoke, store, tmp_path_factory) -> tuple[Release, Path]:
    study = release(smoke, store)
    study.build()
    out = tmp_path_factory.mktemp("release") / "out"
    study.write(out)
    return study, out


def card(out: Path) -> tuple[dict, str]:
    _, front, text = (out / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def test_both_layouts_hold_the_same_pairs_and_nothing_is_wrong_with_them(made):
    study, out = made
    source = open_source("defect_spectrum", out / "hub")
    assert verify.verify_source(source).checked().warnings == ()
    for product, synthetic in zip(PRODUCTS, study.synthetics, strict=True):
        assert verify.check(out / "pairs" / product).images == COUNT
        pairs = folder.read_dataset(out / "pairs" / product)
        laid_out = [source.sample(row) for row in rows(source, product=f"procedural_{product}")]
        for pair, same, sampled in zip(pairs, laid_out, study.read_pairs(synthetic), strict=True):
            assert np.array_equal(pair.image, same.image)
            assert np.array_equal(pair.mask, same.mask)
            assert np.array_equal(pair.mask, sampled.mask)
            assert pair.caption == sampled.caption
            assert same.caption.endswith(pair.caption)


def test_metadata_joins_image_mask_and_caption(made):
    for product in PRODUCTS:
        root = made[1] / "pairs" / product
        lines = [json.loads(line) for line in (root / "metadata.jsonl").read_text().splitlines()]
        assert [line["caption"] for line in lines] == [pair.caption for pair in folder.read_dataset(root)]
        for line in lines:
            assert (root / line["image_file_name"]).is_file()
            assert (root / line["mask_file_name"]).is_file()
            assert Path(line["image_file_name"]).stem == Path(line["mask_file_name"]).stem


def test_provenance_says_how_all_came_to_be_and_what_every_file_was(made):
    study, out = made
    record = json.loads((out / PROVENANCE).read_text())
    for product, synthetic in zip(PRODUCTS, study.synthetics, strict=True):
        parts = {"pairs": synthetic, "large": synthetic.large, "small": synthetic.small}
        assert record["products"][product] == {
            name: read_provenance(study.path(stage)) for name, stage in parts.items()
        }
    assert record["files"] == digests(out)
    assert {"README.md", "pairs/softgel/captions.csv", "hub/synthetic_Procedural/captions.xlsx"} <= set(record["files"])


def test_the_card_s_front_matter_is_the_hub_s(made):
    front, _ = card(made[1])
    assert front["license"] == "apache-2.0"
    assert front["task_categories"] == ["image-segmentation"]
    assert front["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in front["configs"]] == list(PRODUCTS)
    for config in front["configs"]:
        (files,) = config["data_files"]
        found = [path for pattern in files["path"] for path in made[1].glob(pattern)]
        assert len(found) == 1 + 2 * COUNT


def test_the_card_s_numbers_are_the_artifacts(made):
    study, out = made
    _, text = card(out)
    for product, synthetic in zip(PRODUCTS, study.synthetics, strict=True):
        found = json.loads((study.path(Fidelity(synthetic=synthetic)) / "fidelity.json").read_text())
        assert f"| {product} | {COUNT} | {found['defect_free']:.1%} | {found['nearest_mean']:.3f} |" in text
        pairs = folder.read_dataset(out / "pairs" / product)
        for name in pairs[0].classes:
            shown = sum(name in pair.present for pair in pairs)
            assert f"| {product} | {name} | {shown} | {shown / COUNT:.0%} |" in text
        commit = read_provenance(study.path(synthetic))["commit"]
        assert f"| 400 | {synthetic.sampler} | {synthetic.num_inference_steps} | 0 | `{commit}` |" in text
        assert f"({read_provenance(study.path(synthetic.large))['key']}".replace("(", "(`") in text
    assert "**not** Defect Spectrum" in text


@pytest.mark.parametrize(
    ("nearness", "line"),
    [
        ((0.5, 0.7), "By this, the pairs are no copies."),
        ((1.0, 0.7), "By this, the pairs of `softgel` are close variations of the training images, no new scenes."),
        ((1.0, 0.8), "By this, the pairs of `softgel` and `brushed_plate` are close variations"),
    ],
)
def test_the_card_says_in_words_what_nearness_means(made, nearness, line):
    study, _ = made
    synthetics = dict(zip(PRODUCTS, study.synthetics, strict=True))
    records = {product: study._record(synthetic) for product, synthetic in synthetics.items()}
    measured = {product: study._measured(synthetic) for product, synthetic in synthetics.items()}
    for product, value in zip(PRODUCTS, nearness, strict=True):
        measured[product]["nearness"] = value
    assert line in write_card(synthetics, records, measured)


def test_the_same_settings_give_the_same_bytes(made, smoke, tmp_path):
    study, out = made
    study.write(tmp_path / "again")
    assert digests(tmp_path / "again") == digests(out)
    assert (tmp_path / "again" / PROVENANCE).read_bytes() == (out / PROVENANCE).read_bytes()
    elsewhere = release(smoke, Store(tmp_path / "store", shipped=None))
    elsewhere.build()
    elsewhere.write(tmp_path / "elsewhere")
    one, other = digests(out), digests(tmp_path / "elsewhere")
    assert one.keys() == other.keys()
    differing = {name for name in one if one[name] != other[name]}  # these say when
    assert {Path(name).name for name in differing} <= {PROVENANCE}


def test_it_appears_whole_or_not_at_all(made, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no more")

    monkeypatch.setattr("defectlib.experiments.release.write_hub", fail)
    with pytest.raises(OSError, match="no more"):
        made[0].write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(UserError, match="is there already and not empty; name another folder or remove it"):
        made[0].write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_pairs_of_other_data_have_no_card(smoke, store):
    synthetic = smoke.synthesis(smoke.data("defect_spectrum/mvtec_screw"), count=COUNT)
    with pytest.raises(UserError, match="published data: a release is of embedded products, whose licence is known"):
        Release(smoke, (synthetic,), store=store)
