"""Seeds by purpose, batches, provenance facts."""

import subprocess
import sys

import pytest
import torch

from defectlib import device, runtime
from defectlib.errors import UserError, UserErrors, unknown


def test_child_seeds_differ_by_purpose_and_are_pinned():
    assert runtime.child_seed(0, "init") == 3953688860265627247
    seeds = {runtime.child_seed(root, *names) for root in (0, 1) for names in (("init",), ("noise", 0), ("noise", 1))}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_one_purpose_agree_and_others_do_not():
    first, again, other = (torch.randn(3, generator=device.generator(0, *names)) for names in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert runtime.numpy_generator(0, "a").random() == runtime.numpy_generator(0, "a").random()


@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 3), (3, 3), (7, 3)])
def test_batches_cover_everything_once(count, size):
    found = [i for batch in runtime.batches(count, size) for i in batch]
    assert found == list(range(count))


def test_progress_in_a_log_is_lines_without_control_characters(capsys, monkeypatch):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    with runtime.progress(3, "washing") as bar:
        for _ in range(3):
            bar.update()
            bar.refresh()
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("washing") and "2/3" in line for line in lines)
    assert not any("\r" in line or not line.strip() for line in lines)


def test_devices_are_resolved_or_refused():
    assert device.configure("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="torch sees no CUDA device here; use 'cpu', or install torch with CUDA"):
            device.configure("cuda")


def test_only_long_trainings_on_a_gpu_are_compiled_and_only_where_that_is_possible(monkeypatch, capsys):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    network, cuda = torch.nn.Linear(2, 2), torch.device("cuda")
    assert device.compiled(network, torch.device("cpu"), 10**6) is network
    assert device.compiled(network, cuda, device.COMPILE_FROM - 1) is network
    find = device.importlib.util.find_spec  # which torch asks too, for what it loads when it first compiles
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None)
    assert device.compiled(network, cuda, 10**6) is network
    assert (
        capsys.readouterr().err
        == "training without torch.compile, which needs Triton and a C compiler (gcc or clang)\n"
    )
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: name if name == "triton" else find(name))
    monkeypatch.setenv("CC", "cc")
    compiled = device.compiled(network, cuda, 10**6)
    assert compiled is not network
    assert [id(weight) for weight in compiled.parameters()] == [id(weight) for weight in network.parameters()]


def test_an_unknown_name_is_offered_its_nearest_whatever_its_case():
    assert "did you mean 'M-B0'?" in str(unknown("model", "m-bo", ["M-B0", "DL"]))
    assert str(unknown("model", "zzz", ["b", "a"])) == "unknown model 'zzz': known are a, b"


def test_several_faults_are_listed_together():
    error = UserErrors("folder: 2 faults", ["a: wrong", "b: wrong"])
    assert str(error).splitlines() == ["folder: 2 faults", "  a: wrong", "  b: wrong"]


def test_torchvision_timm_and_smp_import_beside_this_torch():
    code = "import defectlib.torchvision_shim, torchvision, timm, segmentation_models_pytorch, diffusers; print('ok')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.strip().endswith("ok"), run.stderr
