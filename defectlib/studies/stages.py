"""Every stage's name and the function that makes its artifact. Each loads its module, and torch, when first called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from defectlib.config import Stage
from defectlib.store import Runner


def _runner(module: str) -> Runner:
    """The ``run`` of ``module``. A process that builds one artifact need not load the libraries of all the others."""

    def run(settings: Stage, inputs: Mapping[str, Path], out: Path) -> None:
        import_module(module).run(settings, inputs, out)

    return run


RUNNERS: dict[str, Runner] = {
    "denoiser": _runner("defectlib.defectgen.training"),
    "synthetic": _runner("defectlib.defectgen.synthesis"),
    "fidelity": _runner("defectlib.defectgen.fidelity"),
    "released": _runner("defectlib.defectgen.released"),
    "released_fidelity": _runner("defectlib.defectgen.fidelity"),
    "sampler_timing": _runner("defectlib.defectgen.timing"),
    "receptive_field": _runner("defectlib.defectgen.receptive_field"),
    "density": _runner("defectlib.defectgen.density"),
    "rival": _runner("defectlib.rivals.training"),
    "rival_pairs": _runner("defectlib.rivals.sampling"),
    "rival_fidelity": _runner("defectlib.defectgen.fidelity"),
    "segmenter": _runner("defectlib.segmentation.training"),
    "evaluation": _runner("defectlib.segmentation.evaluation"),
    "segmenter_timing": _runner("defectlib.segmentation.latency"),
    "throughput": _runner("defectlib.studies.throughput"),
    "oracle": _runner("defectlib.segmentation.oracle"),
    "judgement": _runner("defectlib.studies.judging"),
    "rival_judgement": _runner("defectlib.studies.judging"),
    "clicker": _runner("defectlib.click.training"),
    "clicking": _runner("defectlib.click.evaluation"),
}
