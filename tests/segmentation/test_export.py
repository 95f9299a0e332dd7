"""ONNX files: ONNX Runtime computes what torch does, and nothing is written where it does not."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from defectlib.errors import UserError
from defectlib.segmentation import export
from defectlib.segmentation.models import Segmenter, build
from defectlib.store import PROVENANCE
from tests.test_cli import run

CLASSES = ["scratch", "Fleck"]


def trained(folder, name="UNet", **settings):
    """A segmenter artifact with fresh weights, and what it says of its training."""
    folder.mkdir(parents=True)
    model = build(name, len(CLASSES), seed=3).eval()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "model.safetensors")
    card = {"model": name, "classes": CLASSES, "defect_types": len(CLASSES)}
    (folder / "model.json").write_text(json.dumps(card))
    (folder / PROVENANCE).write_text(json.dumps({"settings": settings}))
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A baseline, whose images were 48 px a side, and what the command made of it."""
    place = tmp_path_factory.mktemp("onnx")
    model = trained(place / "artifact", data={"size": 48}, crop=None)
    found = export.export_artifact(place / "artifact", place / "model.onnx")
    return model, place, found


def test_the_file_gives_torch_s_logits_of_raw_pixels(made):
    model, place, found = made
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 48, 48), dtype=np.uint8)
    runtime = onnxruntime.InferenceSession(place / "model.onnx", providers=["CPUExecutionProvider"])
    logits = runtime.run(None, {"images": image})[0]
    with torch.inference_mode():
        expected = model(torch.from_numpy(image)).numpy()
    assert logits.shape == (1, 3, 48, 48)
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())
    assert found["probability"] < 1e-4
    assert found["changed"] == 0


def test_the_file_says_what_goes_in_and_what_the_classes_are(made):
    proto = onnx.load(made[1] / "model.onnx")
    onnx.checker.check_model(proto)
    images, logits = proto.graph.input[0], proto.graph.output[0]
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [side.dim_value for side in images.type.tensor_type.shape.dim] == [1, 3, 48, 48]
    assert (images.name, logits.name) == ("images", "logits")
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert metadata["model"] == "UNet"
    assert json.loads(metadata["classes"]) == ["background", *CLASSES]
    assert [path.name for path in made[1].iterdir() if path.suffix not in ("", ".onnx")] == []


@pytest.mark.parametrize("name", ["DL", "M-B0"])
def test_enlarging_and_padding_are_inside(name):
    model = build(name, 2).eval()
    assert export.check(export.to_onnx(model, 40, 56), model, 40, 56)["changed"] == 0


def test_a_file_that_computes_something_else_is_refused():
    content = export.to_onnx(build("UNet", 2, seed=0).eval(), 32, 32)
    with pytest.raises(UserError, match=r"ONNX Runtime computes something else than torch, so nothing is written"):
        export.check(content, build("UNet", 2, seed=1).eval(), 32, 32)


def test_a_network_that_cannot_be_exported_is_one_line():
    class Undecided(torch.nn.Module):
        def forward(self, x):
            return x[:, :2] if x.sum() > 0 else x[:, 1:]

    with pytest.raises(UserError, match=r"^the network cannot be exported to ONNX \(.+\)$") as caught:
        export.to_onnx(Segmenter(Undecided(), 32).eval(), 32, 32)
    assert "\n" not in str(caught.value)


def test_what_is_not_onnx_is_one_line():
    with pytest.raises(UserError, match=r"^ONNX Runtime cannot run the exported network"):
        export.session(b"no model")


# The command --------------------------------------------------------------------------------------------------------


def test_the_command_takes_a_key_of_the_store(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    trained(tmp_path / "store" / "segmenter" / "0123456789abcdef", data={"size": 64}, crop=32)
    out = tmp_path / "out.onnx"
    status, said, err = run(monkeypatch, capsys, "export-onnx", "0123456789abcdef", str(out), "--width", "64")
    assert (status, err) == (0, "")
    assert said.startswith(f"{out}: probabilities differ from torch's by at most ")
    shape = onnx.load(out).graph.input[0].type.tensor_type.shape
    assert [side.dim_value for side in shape.dim] == [1, 3, 32, 64]


def refused(monkeypatch, capsys, *arguments):
    status, out, err = run(monkeypatch, capsys, "export-onnx", *map(str, arguments))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    return err


def test_what_a_user_can_get_wrong_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    artifact, out = tmp_path / "artifact", tmp_path / "out.onnx"
    assert "no trained baseline is there" in refused(monkeypatch, capsys, artifact, out)
    trained(artifact, data={})
    assert "give --height and --width in pixels" in refused(monkeypatch, capsys, artifact, out)
    sides = ("--height", 32, "--width", 32)
    assert "make it first" in refused(monkeypatch, capsys, artifact, tmp_path / "absent" / "out.onnx", *sides)
    assert "is a folder" in refused(monkeypatch, capsys, artifact, tmp_path, *sides)
    assert "1 to 4096" in refused(monkeypatch, capsys, artifact, out, "--height", 9000, "--width", 32)
    (artifact / PROVENANCE).write_text("{")
    assert "provenance.json: cannot be read" in refused(monkeypatch, capsys, artifact, out)
    weights = artifact / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "not a readable segmenter" in refused(monkeypatch, capsys, artifact, out, *sides)
    assert list(tmp_path.glob("*.onnx*")) == []


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "PACKAGES", ("onnx", "onnx_that_is_not_there"))
    with pytest.raises(UserError, match=r"needs onnx_that_is_not_there: pip install onnx_that_is_not_there$"):
        export.export_artifact(tmp_path, tmp_path / "out.onnx", 32, 32)
    with pytest.raises(UserError, match="pip install"):
        export.to_onnx(build("UNet", 2).eval(), 32, 32)
