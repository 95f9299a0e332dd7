"""What is put among the files of the package: halves, nothing of this machine's paths, found by any machine."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from defectlib.settings import EmbeddedData, RivalTraining
from defectlib.shipping import ship
from defectlib.store import Store, read_provenance

SETTINGS = RivalTraining(data=EmbeddedData(product="softgel"), method="CycleGAN", steps=1)


def build(store, weight=0.1):
    def runner(settings, inputs, out):
        (out / "net").mkdir()
        tensors = {"weight": torch.full((64, 64), weight), "count": torch.tensor([70_000])}
        save_file(tensors, out / "net" / "model.safetensors", metadata={"format": "pt"})
        (out / "net" / "config.json").write_text(json.dumps({"width": 3, "_name_or_path": str(out)}))
        (out / "losses.json").write_text("[]")

    return store.build(SETTINGS, {"rival": runner})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", shipped=None)


def test_floats_are_halved_and_the_rest_is_kept(store, tmp_path):
    artifact = build(store)
    put = ship(SETTINGS, artifact, tmp_path / "shelf")
    tensors = load_file(put / "net" / "model.safetensors")
    assert (tensors["weight"].dtype, tensors["count"].dtype) == (torch.float16, torch.int64)
    assert tensors["count"].item() == 70_000
    assert tensors["weight"][0, 0].item() == pytest.approx(0.1, rel=1e-3)
    assert json.loads((put / "net" / "config.json").read_text()) == {"width": 3}
    assert load_file(artifact / "net" / "model.safetensors")["weight"].dtype == torch.float32  # ours is as it was


def test_it_is_found_from_any_machine_and_says_how_it_came_to_be(store, tmp_path):
    artifact = build(store)
    put = ship(SETTINGS, artifact, tmp_path / "shelf")
    there = SETTINGS.model_copy(update={"device": "cuda", "dtype": "bf16"})
    assert Store(tmp_path / "none", shipped=tmp_path / "shelf").find(there) == put
    made, kept = read_provenance(artifact), read_provenance(put)
    assert kept.pop("shipped_as") == "float16"
    assert kept.pop("files").keys() == made.pop("files").keys()
    assert kept.pop("sha256") != made.pop("sha256")  # each of its own record
    assert kept == made
    assert str(tmp_path) not in "".join(file.read_text(errors="replace") for file in put.rglob("*.json"))


def test_it_replaces_what_was_there_and_is_not_put_over_itself(store, tmp_path):
    shelf = tmp_path / "shelf"
    put = ship(SETTINGS, build(store), shelf)
    (put / "old").touch()
    assert ship(SETTINGS, put, shelf) == put
    assert (put / "old").exists()
    assert not (ship(SETTINGS, store.find(SETTINGS), shelf) / "old").exists()
    assert [path.name for path in put.parent.iterdir()] == [put.name]


def test_what_half_precision_cannot_hold_is_not_shipped(store, tmp_path):
    with pytest.raises(ValueError, match=r"model\.safetensors: beyond half precision: weight"):
        ship(SETTINGS, build(store, weight=1e6), tmp_path / "shelf")
    assert Store(tmp_path / "none", shipped=tmp_path / "shelf").find(SETTINGS) is None
