"""Synthetic folders: in the one layout, resumable, the same in any batch."""

import json

import numpy as np
import pytest
import torch

from defectlib.data.folder import read_dataset
from defectlib.data.verify import check
from defectlib.defectgen import synthesis, training
from defectlib.errors import UserError
from defectlib.settings import DenoiserTraining
from defectlib.shipping import ship
from defectlib.store import UNFINISHED, Store
from tests.defectgen.conftest import LARGE, SMALL, SYNTHETIC
from tests.interruption import cut_once


@pytest.fixture
def inputs(store):
    return {"large": store.find(LARGE), "small": store.find(SMALL)}


def test_a_synthetic_set_is_a_sound_dataset(store, samples):
    root = store.find(SYNTHETIC) / SYNTHETIC.dataset
    report = check(root)
    assert report.images == SYNTHETIC.count
    pairs = read_dataset(root)
    assert [pair.key for pair in pairs] == [f"synthetic_{k:06}" for k in range(SYNTHETIC.count)]
    assert pairs[0].classes == samples[0].classes
    assert pairs[0].image.shape == samples[0].image.shape
    assert all(pair.caption for pair in pairs)
    record = json.loads((root / "provenance.json").read_text())
    assert record["product"] == "softgel"
    assert record["settings"]["switch_step"] == SYNTHETIC.switch_step


def test_sampling_goes_on_where_it_was_cut_off(inputs, tmp_path, monkeypatch, store):
    drawn = cut_once(monkeypatch, synthesis, "sample_pairs", after=2)
    with pytest.raises(KeyboardInterrupt):
        synthesis.run(SYNTHETIC, inputs, tmp_path)
    assert not (tmp_path / SYNTHETIC.dataset).exists()
    assert len(list((tmp_path / UNFINISHED).glob("*.npz"))) == 2
    synthesis.run(SYNTHETIC, inputs, tmp_path)
    assert drawn == [range(0, 2), range(2, 4), range(4, 5)]
    undisturbed = read_dataset(store.find(SYNTHETIC) / SYNTHETIC.dataset)
    for ours, theirs in zip(read_dataset(tmp_path / SYNTHETIC.dataset), undisturbed, strict=True):
        assert np.array_equal(ours.image, theirs.image)
        assert np.array_equal(ours.mask, theirs.mask)


def test_a_pair_does_not_depend_on_the_batch(inputs):
    pipeline = synthesis.assemble(inputs["large"], inputs["small"])
    together, _ = synthesis.sample_pairs(pipeline, SYNTHETIC, range(0, 4), 32)
    alone, _ = synthesis.sample_pairs(pipeline, SYNTHETIC, range(3, 4), 32)
    assert np.abs(together[3].astype(int) - alone[0]).max() <= 1


def test_nets_of_other_classes_do_not_go_together(store, tmp_path):
    other = DenoiserTraining(**{**LARGE.model_dump(), "data": {**LARGE.data.model_dump(), "product": "washer"}})
    artifact = Store(tmp_path, None).build(other, {"denoiser": training.run})
    with pytest.raises(UserError, match="must be trained on the same classes"):
        synthesis.assemble(artifact, store.find(SMALL))


def test_a_shipped_net_is_half_the_size_and_samples_nearly_the_same(store, inputs, tmp_path):
    shelf = tmp_path / "shelf"
    shipped = {name: ship(s, store.find(s), shelf) for name, s in (("large", LARGE), ("small", SMALL))}
    assert Store(tmp_path / "none", shelf).find(LARGE) == shipped["large"]
    assert str(store.root) not in (shipped["large"] / "net" / "config.json").read_text()
    sizes = [sum(f.stat().st_size for f in p.rglob("*.safetensors")) for p in (shipped["large"], inputs["large"])]
    assert sizes[0] < 0.65 * sizes[1]
    ours, theirs = (
        synthesis.sample_pairs(synthesis.assemble(**nets), SYNTHETIC, range(2), 32)[0].astype(int)
        for nets in (shipped, inputs)
    )
    assert np.abs(ours - theirs).mean() < 1.0


# Fidelity -----------------------------------------------------------------------------------------------------------


def test_everything_is_deterministic(inputs):
    pipeline = synthesis.assemble(inputs["large"], inputs["small"])
    first, again = (synthesis.sample_pairs(pipeline, SYNTHETIC, range(2), 32)[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert torch.is_grad_enabled()
