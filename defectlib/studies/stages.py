"""Every stage's name and the function that makes its artifact. Loads torch; plans do not import it."""

from __future__ import annotations

from defectlib.defectgen import fidelity, synthesis, training
from defectlib.segmentation import evaluation
from defectlib.segmentation import training as segmenter_training
from defectlib.store import Runner

RUNNERS: dict[str, Runner] = {
    "denoiser": training.run,
    "synthetic": synthesis.run,
    "fidelity": fidelity.run,
    "segmenter": segmenter_training.run,
    "evaluation": evaluation.run,
}
