"""Denoisers for the reader's browser: ONNX with fp16 weights, in scripts that a page opened from disk can load.

`book/_assets/live/live.js` runs the sampler with them. All that it needs to know of schedule and timesteps is in the
table written here, so that there is one place for both.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from defectlib.data.loading import load_train
from defectlib.defectgen.denoiser import Denoiser
from defectlib.defectgen.diffusion import schedule
from defectlib.defectgen.timesteps import two_stage_timesteps
from defectlib.defectgen.training import load_denoiser
from defectlib.device import generator
from defectlib.errors import UserError
from defectlib.settings import LiveNets, T

STEPS = (10, 25, 50)
"""Numbers of sampling steps that the page offers."""
LIMIT = 15_000_000
"""Bytes; a larger net is left out, and the page says so."""
TOLERANCE = 0.004
"""Largest difference from torch in one prediction of x_0: half a gray level."""


def run(settings: LiveNets, inputs: Mapping[str, Path], out: Path) -> None:
    """The stage: ``table.js``, ``training.js`` and one script per denoiser."""
    images = np.stack([sample.image for sample in load_train(settings.data)])
    nets: dict[str, dict[str, float]] = {}
    for name, artifact in inputs.items():
        denoiser = load_denoiser(artifact)
        size = 2 * sum(weights.numel() for weights in denoiser.parameters())
        there = size <= LIMIT
        if there:
            size = _write(out, name, to_onnx(denoiser, images.shape[1]))
        nets[name] = {"bytes": size, "there": there}
    nets["training"] = {"bytes": _write(out, "training", images.tobytes()), "there": True}
    shape = (1, denoiser.config.channels, *images.shape[1:3])
    _write(out, "table", json.dumps({"shape": shape, "nets": nets, **sampling_table()}).encode())


def sampling_table() -> dict[str, object]:
    """√ᾱ_t and √(1 − ᾱ_t) by t; by number of steps, the timesteps for every u and how many are the large net's."""
    signal = schedule().alphas_cumprod.double()  # ᾱ_t
    steps = {}
    for count in STEPS:
        pairs = [two_stage_timesteps(u, count) for u in range(T + 1)]
        steps[count] = {
            "timesteps": [large + small for large, small in pairs],
            "large": [len(large) for large, _ in pairs],
        }
    return {"signal": signal.sqrt().tolist(), "noise": (1 - signal).sqrt().tolist(), "steps": steps}


def to_onnx(denoiser: Denoiser, side: int) -> bytes:
    """The denoiser for one image of ``side`` pixels: ``x`` float32 (1, C, H, W), ``t`` int64 (1,) → ``x_0``.

    Weights are stored in fp16 and cast back when the model is loaded; arithmetic is fp32.

    Raises:
        UserError: ONNX Runtime predicts something else than torch.
    """
    x = torch.randn(1, denoiser.config.channels, side, side, generator=generator(0, "live"))
    t = torch.tensor([T // 2])
    logging.disable(logging.ERROR)  # the exporter tells of its own insides
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            names = {"input_names": ["x", "t"], "output_names": ["x_0"], "opset_version": 18}
            program = torch.onnx.export(denoiser, (x, t), dynamo=True, verbose=False, **names)
            expected = denoiser(x, t).numpy()
    finally:
        logging.disable(logging.NOTSET)
    content = _halved(_optimised(program.model_proto)).SerializeToString()
    predicted = _session(content).run(["x_0"], {"x": x.numpy(), "t": t.numpy()})[0]
    difference = float(np.abs(predicted - expected).max())
    if not difference <= TOLERANCE:
        raise UserError(
            f"ONNX Runtime differs from torch by {difference:.2g} in x_0; try another version of onnxruntime"
        )
    return content


def _session(content: bytes, optimised: Path | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimised is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(optimised)
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """Constants folded by ONNX Runtime, short names, no texts: half of the exporter's file is names of nodes."""
    with tempfile.TemporaryDirectory() as folder:
        _session(model.SerializeToString(), Path(folder) / "model.onnx")
        model = onnx.load(Path(folder) / "model.onnx")
    graph = model.graph
    kept = {"": "", **{value.name: value.name for value in (*graph.input, *graph.output)}}
    short = lambda name: kept.setdefault(name, f"v{len(kept)}")  # noqa: E731
    del model.metadata_props[:], graph.value_info[:], graph.metadata_props[:]
    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
    for node in graph.node:
        node.name = node.doc_string = ""
        del node.metadata_props[:]
        node.input[:] = map(short, node.input)
        node.output[:] = map(short, node.output)
    return model


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights in fp16, each with a cast to fp32 before it is used.

    Small tensors stay: they weigh nothing, and the frequencies of the time embedding are multiplied by up to T.
    """
    nodes = list(model.graph.node)
    casts = []
    for tensor in model.graph.initializer:
        if (
            tensor.data_type == TensorProto.FLOAT
            and len(tensor.dims) > 1
            and (values := numpy_helper.to_array(tensor)).size > 512
        ):
            name = f"{tensor.name}h"
            casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    return model


def _write(folder: Path, name: str, content: bytes) -> int:
    """The script ``name``.js that hands ``content`` to the page; its size in bytes."""
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode()
    return (folder / f"{name}.js").write_text(f'LIVE.put("{name}","{packed}")\n')
