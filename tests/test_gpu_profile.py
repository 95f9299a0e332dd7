"""Every notebook runs under the settings of the `gpu` profile, cut to two steps, on a CPU.

What costs time is cut: steps, counts, the nets' widths, the images' side. What leads through other code than the
smaller profiles do stays: five downsamplings, two residual blocks, no folding, attention at three levels, five
receptive fields, four products, three seeds.
"""

from __future__ import annotations

import nbformat
import pytest

from defectlib.experiments import plans
from defectlib.profiles import load_profile
from defectlib.publishing.runner import run_notebook
from defectlib.runtime import REPOSITORY

CUT = """
base: gpu
device: cpu
precision: fp32
size: 64
shots: 1
eval_count: 6
large_net: {channels: [8, 8, 16, 16, 16, 16]}
small_channels: 8
patch_channels: 8
large: {steps: 2}
small: {steps: 2}
patch: {steps: 2}
num_inference_steps: 6
network_calls: {ddpm: [4, 6], ddim: [4], dpm++: [4]}
gallery: 2
synthetic: 2
controls: {switch_steps: [400], rivals: [SinGAN]}
pretrained: false
segmenter: {steps: 2, batch: 2}
oracle: {scenes: 4, unseen: 2, width: 8, steps: 2, batch: 2}
clicker:
  {sizes: [64], scenes: 8, widths: [8, 16, 20, 16], crop: 64, steps: 2, batch: 2}
annotator: {trial_steps: 2, clicks: 3, images: 2, size: 64}
rivals:
  singan: {steps: 2, channels: 8}
  sindiffusion: {steps: 2, batch: 2}
  cyclegan: {steps: 2, channels: 8}
  cyclegan_one: {steps: 2, channels: 8}
  ddpm_one: {steps: 2}
memorisation: {size: 64, shots: [1], fields: [25], channels: 8, net: {steps: 2}, pairs: 2, density_steps: 2}
watched: {size: 64, net: {steps: 2}, at: [1, 2]}
speed: {models: [UNet, M-B0], size: 64, rounds: 2, full_denoisers: false}
own: {crop: 64, large: {steps: 2}, small: {steps: 2}, count: 2, segmenter: {steps: 2}}
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    place = tmp_path_factory.mktemp("gpu")
    (place / "gpu_cut.yaml").write_text(CUT)
    return place / "gpu_cut.yaml"


def test_what_leads_through_other_code_is_not_cut(profile):
    cut, whole = load_profile(str(profile)), load_profile("gpu")
    for name in ("products", "receptive_field", "receptive_fields", "switch_steps", "models", "seeds", "sampler"):
        assert getattr(cut, name) == getattr(whole, name)
    for name in ("blocks", "attention", "fold"):
        assert getattr(cut.large_net, name) == getattr(whole.large_net, name)
    assert len(cut.large_net.channels) == len(whole.large_net.channels)


#: Where all that the profile asks for is many times the same kind of training.
FEWER = {"05_synthetic_boost": {"ratios": [0, 100]}, "14_baselines": {"products": ["softgel"]}}


@pytest.mark.parametrize("name", plans.NOTEBOOKS)
def test_notebook(profile, monkeypatch, name):
    monkeypatch.setenv("DEFECTLIB_STORE", str(profile.parent / "store"))
    out = profile.parent / f"{name}.ipynb"
    run_notebook(REPOSITORY / "notebooks" / f"{name}.ipynb", out, {"profile": str(profile)} | FEWER.get(name, {}))
    cells = [cell for cell in nbformat.read(out, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
