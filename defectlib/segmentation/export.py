"""A baseline as an ONNX file, for devices without torch: written only after ONNX Runtime has given torch's outputs.

The file takes raw pixels, ``images`` uint8 (1, 3, H, W), and gives ``logits`` float32 (1, K + 1, H, W), with what
scales and pads the image inside. Height and width are fixed: how the image is enlarged and padded follows from them.
Its metadata hold the model's name and the class names.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from defectlib.device import generator
from defectlib.errors import UserError
from defectlib.reading import read_json
from defectlib.runtime import path_of
from defectlib.segmentation import optimise
from defectlib.segmentation.models import Segmenter
from defectlib.segmentation.training import CARD, load, read_card
from defectlib.store import PROVENANCE, default_root, write_atomically

if TYPE_CHECKING:
    import onnxruntime

INPUT, OUTPUT = "images", "logits"
OPSET = 18
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST_SIDE = 4096  # pixels


def export_artifact(artifact: Path, out: Path, height: int | None = None, width: int | None = None) -> dict[str, float]:
    """Write the model of a segmenter artifact as the ONNX file ``out``.

    Args:
        height: Pixels; None takes the size of the images that it was trained on, where that is one.
        width: The same.

    Returns:
        How far ONNX Runtime is from torch (see :func:`defectlib.segmentation.optimise.difference`).

    Raises:
        UserError: The artifact cannot be read, no size is known, a package is missing, the network cannot be exported,
            or ONNX Runtime computes something else.
    """
    check_packages()
    if not out.parent.is_dir():
        raise UserError(f"{out}: there is no folder {out.parent}; make it first")
    if out.exists() and not out.is_file():
        raise UserError(f"{out}: is a folder or a special file; give the name of a file in one")
    model = load(artifact)
    card = read_card(artifact)
    sides = _sides(artifact, height, width)
    content = to_onnx(model, *sides, {"model": card["model"], "classes": json.dumps(["background", *card["classes"]])})
    found = check(content, model, *sides)
    write_atomically(out, content)
    return found


def find_segmenter(name: str) -> Path:
    """The artifact called ``name``: a folder, or the key of a trained baseline in the store.

    Raises:
        UserError: There is none.
    """
    places = (path_of(name), default_root() / "segmenter" / name)
    for place in places:
        if (place / CARD).is_file():
            return place
    raise UserError(f"{name}: no trained baseline is there; give its folder, or its key below {places[1].parent}")


def to_onnx(model: Segmenter, height: int, width: int, metadata: dict[str, str] | None = None) -> bytes:
    """The ONNX file of a model in evaluation mode on the CPU, for images of that height and width in pixels.

    Raises:
        UserError: A package is missing, or torch cannot export the network.
    """
    check_packages()
    image = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    names = {"input_names": [INPUT], "output_names": [OUTPUT], "opset_version": OPSET}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(model, (image,), dynamo=True, verbose=False, **names)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"the network cannot be exported to ONNX ({_reason(error)})") from error
    proto = program.model_proto
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own insides: deprecations, and constants that it left as they were."""
    loggers = {
        logging.getLogger(name): logging.getLogger(name).level for name in ("onnx_ir", "onnxscript", "torch.onnx")
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in loggers.items():
                logger.setLevel(level)


def session(content: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU, with the model in it.

    Raises:
        UserError: It cannot run the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings are of nodes that it removes
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise UserError(f"ONNX Runtime cannot run the exported network ({_reason(error)})") from error


def check(content: bytes, model: Segmenter, height: int, width: int) -> dict[str, float]:
    """How far ONNX Runtime is from torch on an image of noise.

    Raises:
        UserError: Farther than :data:`defectlib.segmentation.optimise.TOLERANCE` for fp32 allows.
    """
    image = torch.randint(0, 256, (1, 3, height, width), generator=generator(0, "onnx"), dtype=torch.uint8)
    found = difference(session(content), model, image)
    if not optimise.within(found, "fp32"):
        most, share = optimise.TOLERANCE["fp32"]
        raise UserError(
            "ONNX Runtime computes something else than torch, so nothing is written: probabilities differ by up to "
            f"{found['probability']:.2g} (at most {most:g} is right), {100 * found['changed']:.2g} % of pixels change "
            f"class (at most {100 * share:g} %); try another version of onnxruntime"
        )
    return found


def difference(runtime: onnxruntime.InferenceSession, model: Segmenter, image: torch.Tensor) -> dict[str, float]:
    """How far ONNX Runtime's outputs are from the model's, of an image uint8 (1, 3, H, W) on the CPU."""
    with torch.inference_mode():
        reference = model(image)
    logits = runtime.run([OUTPUT], {INPUT: image.numpy()})[0]
    return optimise.difference(torch.from_numpy(logits), reference)


def check_packages() -> None:
    """Refuse to begin what needs packages that are not there.

    Raises:
        UserError: One is missing.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise UserError(f"ONNX export needs {', '.join(missing)}: pip install {' '.join(missing)}")


def _sides(artifact: Path, height: int | None, width: int | None) -> tuple[int, int]:
    """Height and width in pixels, from the settings of the training where they are not given."""
    given = None if height and width else _trained_side(artifact)
    sides = (height or given, width or given)
    if None in sides:
        raise UserError(f"{artifact}: does not say how large its images are; give --height and --width in pixels")
    if wrong := [side for side in sides if not 1 <= side <= LARGEST_SIDE]:
        raise UserError(f"an image {wrong[0]} px a side cannot be exported; give --height and --width 1 to 4096")
    return sides


def _trained_side(artifact: Path) -> int | None:
    """Side in pixels of the square images or crops that the model was trained on; None: not known."""
    if not (artifact / PROVENANCE).is_file():
        return None
    settings = _table(read_json(artifact / PROVENANCE, "give --height and --width"), "settings")
    side = settings.get("crop") or _table(settings, "data").get("size")
    return side if isinstance(side, int) else None


def _table(values: Any, name: str) -> dict[str, Any]:
    """The table called ``name`` in ``values``; an empty one where there is none."""
    inner = values.get(name) if isinstance(values, dict) else None
    return inner if isinstance(inner, dict) else {}


def _reason(error: Exception) -> str:
    """The first line of the first cause that says something."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
