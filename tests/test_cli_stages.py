"""The commands that train and sample, run for real under the smoke profile; and all that a user can get wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from defectlib import cli, shipping
from defectlib.data import folder, procedural, verify
from defectlib.experiments.rivals import Rivals
from defectlib.profiles import load_profile
from defectlib.runtime import REPOSITORY
from defectlib.settings import DenoiserTraining
from defectlib.store import PROVENANCE, Store, digests, read_provenance
from tests.data.miniatures import labels, write_folder
from tests.filesystems import resize, small_disk
from tests.test_cli import run

SMOKE = ("--profile", "smoke")
GENERATOR = ("train-generator", *SMOKE, "--net", "9")


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Without progress, standard error holds what is said to the user and nothing else."""
    monkeypatch.setenv("DEFECTLIB_QUIET", "1")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """An empty store, in which nothing stands before something is built."""
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    return Store(shipped=None)


@pytest.fixture
def shared(tmp_path_factory, monkeypatch) -> Store:
    """A store for all commands that succeed: what one trained, the next one finds."""
    root = tmp_path_factory.getbasetemp() / "cli-stages"
    monkeypatch.setenv("DEFECTLIB_STORE", str(root))
    return Store(root, shipped=None)


def small_training() -> DenoiserTraining:
    """What ``GENERATOR`` trains."""
    profile = load_profile("smoke")
    return profile.small_training(profile.data("softgel"), 9)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


# What the commands do -----------------------------------------------------------------------------------------------


def test_train_generator_prints_where_the_net_is(shared, monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, *GENERATOR)
    artifact = shared.root / "denoiser" / small_training().key()
    assert (status, out, err) == (0, f"{artifact}\n", "")
    assert shared.find(small_training()) == artifact
    large = run(monkeypatch, capsys, "train-generator", *SMOKE, "--product", "washer")
    assert large[0] == 0
    assert read_provenance(Path(large[1].strip()))["settings"]["net"]["kind"] == "large"
    assert read_provenance(Path(large[1].strip()))["settings"]["data"]["product"] == "washer"


def test_train_rival_ships_what_the_study_then_finds(shared, tmp_path, monkeypatch, capsys):
    shelf = tmp_path / "shelf"
    monkeypatch.setattr(shipping.ship, "__defaults__", (shelf,))
    words = ("train-rival", *SMOKE, "--method", "CycleGAN", "--image", "2", "--ship")
    status, out, _ = run(monkeypatch, capsys, *words)
    stages = Rivals(load_profile("smoke"), image=2).to_ship("CycleGAN")
    found = [Store(tmp_path / "none", shipped=shelf).find(stage) for stage in stages]
    assert (status, out.split()) == (0, [str(path) for path in found])
    assert [path.parent.name for path in found] == ["rival", "rival_pairs"]
    monkeypatch.undo()
    status, _, err = run(monkeypatch, capsys, "train-rival", *SMOKE, "--method", "CycleGan")
    assert (status, err.partition(":")[0]) == (2, "unknown method 'CycleGan'")


def test_train_oracle_prints_what_it_is_worth_and_ships_it(shared, tmp_path, monkeypatch, capsys):
    shelf = tmp_path / "shelf"
    monkeypatch.setattr(shipping.ship, "__defaults__", (shelf,))
    status, out, err = run(monkeypatch, capsys, "train-oracle", *SMOKE, "--ship")
    profile = load_profile("smoke")
    settings = profile.oracle_training(profile.data("softgel"))
    score = json.loads((shared.find(settings) / "score.json").read_text())
    assert (status, err) == (0, "")
    assert out.startswith(f"mIoU {100 * score['miou']:.2f} % on 6 unseen scenes. mIoU is the mean of the classes'")
    assert out.splitlines()[-1] == str(Store(tmp_path / "none", shipped=shelf).find(settings))


@pytest.mark.parametrize("synthetic", [False, True])
def test_train_segmenter_prints_the_miou_and_its_rule(shared, monkeypatch, capsys, synthetic):
    words = ["train-segmenter", *SMOKE, "--model", "UNet", "--seed", "3", *(["--synthetic"] if synthetic else [])]
    status, out, err = run(monkeypatch, capsys, *words)
    assert (status, err) == (0, "")
    profile = load_profile("smoke")
    data = profile.data("softgel")
    pairs = profile.synthesis(data, count=profile.synthetic) if synthetic else None
    summary = json.loads((shared.find(profile.evaluation(data, "UNet", pairs, 3)) / "summary.json").read_text())
    assert out.startswith(f"mIoU {100 * summary['miou']:.2f} % on 6 held-out images. mIoU is the mean of the classes'")


def test_sample_writes_a_dataset_folder_and_the_same_again(shared, tmp_path, monkeypatch, capsys):
    words = ("sample", *SMOKE, "--count", "3", "--switch-step", "200", "--receptive-field", "9", "--seed", "5")
    for name in ("one", "two"):
        status, out, err = run(monkeypatch, capsys, *words, "--out", str(tmp_path / name))
        assert (status, out, err) == (0, f"3 pairs in {tmp_path / name}\n", "")
    assert verify.check(tmp_path / "one").images == 3
    record = json.loads((tmp_path / "one" / "provenance.json").read_text())
    chosen = record["settings"]
    assert (chosen["switch_step"], chosen["small"]["net"]["receptive_field"], chosen["seed"]) == (200, 9, 5)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_a_release_is_of_all_of_the_profile_s_products_or_of_those_named(shared, tmp_path, monkeypatch, capsys):
    words = ("sample", "--release", *SMOKE, "--count", "3")
    status, out, _ = run(monkeypatch, capsys, *words, "--out", str(tmp_path / "all"))
    assert (status, out) == (0, f"6 pairs in {tmp_path / 'all'}\n")
    assert {path.name for path in (tmp_path / "all" / "pairs").iterdir()} == set(load_profile("smoke").products)
    named = ("--product", "washer", "--product", "softgel", "--seed", "4")
    assert run(monkeypatch, capsys, *words, *named, "--out", str(tmp_path / "two"))[0] == 0
    assert {path.name for path in (tmp_path / "two" / "pairs").iterdir()} == {"washer", "softgel"}
    assert json.loads((tmp_path / "two" / "pairs" / "washer" / PROVENANCE).read_text())["settings"]["seed"] == 4
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    for verified in ((tmp_path / "two" / "pairs" / "washer",), ("defect_spectrum", "--root", tmp_path / "two" / "hub")):
        status, out, _ = run(monkeypatch, capsys, "data", "verify", *map(str, verified))
        assert (status, out.splitlines()[-1].split(",")[0]) == (0, "0 faults")
    status, _, err = run(monkeypatch, capsys, *words, "--out", str(tmp_path / "two"))
    assert status == 2
    assert err == f"{tmp_path / 'two'}: is there already and not empty; name another folder or remove it\n"


def test_augment_prints_the_verdict_and_writes_pairs_and_report(shared, tmp_path, monkeypatch, capsys):
    samples = (procedural.sample("washer", "train", i, size=40) for i in range(12))
    folder.write_dataset(tmp_path / "mine", samples)
    words = ("augment", str(tmp_path / "mine"), "--out", str(tmp_path / "new"), "--count", "2", "--model", "UNet")
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    status, out, err = run(monkeypatch, capsys, *words, *SMOKE, "--seeds", "2")
    assert status == 0
    told = [line.split(" (")[0] for line in err.splitlines() if line.startswith(("synthetic ", "evaluation "))]
    assert told == ["synthetic on mine", *["evaluation UNet on mine"] * 8]
    report = json.loads((tmp_path / "new" / "report.json").read_text())
    warned = [f"warning: {line}" for line in report["warnings"]]
    assert warned
    heading, _, *rows = out[: out.index(report["verdict"])].splitlines()
    assert heading.split()[:2] == ["mIoU", "(%)"]
    assert all(row.startswith(name) for row, name in zip(rows, report["trained_on"], strict=True))
    told = out.splitlines()[2 + len(rows) :]
    assert told == [report["verdict"], *warned, f"2 pairs and {tmp_path / 'new' / 'report.json'}"]
    early = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert early == warned[: len(early)]
    assert early
    assert err.index(early[-1]) < err.index("synthetic on mine")
    assert report["seeds"] == 2
    monkeypatch.setenv("DEFECTLIB_QUIET", "1")
    assert verify.check(tmp_path / "new").images == 2
    assert run(monkeypatch, capsys, *words, *SMOKE)[::2] == (
        2,
        f"{tmp_path / 'new'}: is there already and not empty; name another folder or remove it\n",
    )


def test_data_verify_prints_the_counts_of_a_sound_folder(tmp_path, monkeypatch, capsys):
    status, out, err = run(monkeypatch, capsys, "data", "verify", str(write_folder(tmp_path / "parts")))
    assert (status, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'parts'}: 8 images, 7 with a defect, 1 with several types\n")


# Faulty folders -----------------------------------------------------------------------------------------------------


def test_a_faulty_folder_is_refused_whole_and_left_as_it_was(store, tmp_path, monkeypatch, capsys):
    root = write_folder(tmp_path / "parts")
    (root / "masks" / "a.png").unlink()
    Image.fromarray(labels((1, 9))).save(root / "masks" / "b.png")
    before = files(tmp_path)
    for words in (("data", "verify", str(root)), ("augment", str(root), "--out", str(tmp_path / "new"), *SMOKE)):
        status, out, err = run(monkeypatch, capsys, *words)
        assert (status, out) == (2, "")
        summary, *lines = err.splitlines()
        assert summary == f"{root}: the dataset has faults (2):"
        assert lines[0].startswith(f"  {root}/images/a.png: has no mask; add ")
        assert lines[1].startswith(f"  {root}/masks/b.png: value 9 has no class; classes.json ends at 2")
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("present", "shots", "line"),
    [
        (
            {"a": (1,), "b": (2,), "c": (1,)},
            (),
            "class 'stain' has 1 image, but the split needs one group to train on ",
        ),
        (
            {"a": (1,), "b": (1,)},
            (),
            "class 'stain' has 0 images, but the split needs one group to train on and anothe",
        ),
        (
            {"a": (1,), "b": (2,), "c": (1, 2)},
            ("--shots", "2"),
            "class 'scratch' has 2 images, but the split needs 2 o",
        ),
    ],
    ids=["one", "none", "shots"],
)
def test_a_class_with_too_few_images_is_told_before_anything_is_trained(
    store, tmp_path, monkeypatch, capsys, present, shots, line
):
    root = write_folder(tmp_path / "parts", present)
    before = files(tmp_path)
    status, out, err = run(monkeypatch, capsys, "augment", str(root), "--out", str(tmp_path / "new"), *SMOKE, *shots)
    assert (status, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert files(tmp_path) == before


# Damage, a full disk, Ctrl-C ----------------------------------------------------------------------------------------


def test_a_shipped_net_cut_in_half_is_one_line(shared, tmp_path, monkeypatch, capsys):
    training = small_training()
    made = shared.build(training, cli_runners())
    shipped = tmp_path / "shipped" / "denoiser" / training.key(any_machine=True)
    shipped.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", made, shipped], check=True)
    weights = shipped / "net" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(Store.__init__, "__defaults__", (None, tmp_path / "shipped"))
    for words in (GENERATOR, ("sample", *SMOKE, "--receptive-field", "9", "--out", str(tmp_path / "pairs"))):
        status, out, err = run(monkeypatch, capsys, *words)
        assert (status, out) == (2, "")
        assert err == (
            f"{shipped}: 'net/diffusion_pytorch_model.safetensors' has changed since it was written; this file is "
            "part of the package, install it again\n"
        )
    assert not (tmp_path / "pairs").exists()


def cli_runners():
    from defectlib.engine import RUNNERS

    return RUNNERS


def test_a_net_of_ours_cut_in_half_is_set_aside_and_made_again(store, monkeypatch, capsys):
    assert run(monkeypatch, capsys, *GENERATOR)[0] == 0
    artifact = store.find(small_training())
    before = digests(artifact)["net/diffusion_pytorch_model.safetensors"]
    weights = artifact / "net" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    assert run(monkeypatch, capsys, *GENERATOR)[:2] == (0, f"{artifact}\n")
    assert digests(artifact)["net/diffusion_pytorch_model.safetensors"] == before
    assert len(list((store.root / "broken").iterdir())) == 1


def test_what_a_cut_left_damaged_is_made_again(store, tmp_path, monkeypatch, capsys):
    profile = load_profile("smoke")
    synthesis = profile.synthesis(profile.data("softgel"), count=2)
    evaluation = profile.evaluation(synthesis.large.data, "UNet")
    damaged = {synthesis: "000000-25.npz", synthesis.large: "checkpoint.safetensors"}
    for stage, name in (damaged | {evaluation.segmenter: "checkpoint.safetensors"}).items():
        unfinished = store.root / "work" / f"{stage.stage}-{stage.key()}" / "unfinished"
        unfinished.mkdir(parents=True)
        (unfinished / name).write_bytes(b"half")
    status, out, err = run(monkeypatch, capsys, "sample", *SMOKE, "--count", "2", "--out", str(tmp_path / "pairs"))
    assert (status, out, err) == (0, f"2 pairs in {tmp_path / 'pairs'}\n", "")
    assert run(monkeypatch, capsys, "train-segmenter", *SMOKE, "--model", "UNet")[0] == 0


ADVICE = "free some space and run the same command again to go on"


def told_of_a_full_disk(status, out, err):
    assert (status, out) == (2, "")
    assert err.startswith("the disk is full (")
    assert err.endswith(f"; {ADVICE}\n")
    assert err.count("\n") == 1


def test_a_full_disk_under_the_store_is_one_line_and_the_next_run_goes_on(tmp_path, monkeypatch, capsys):
    words = ("train-generator", *SMOKE)
    with small_disk(tmp_path / "disk", "128k") as disk:  # the net alone takes 215 kB
        monkeypatch.setenv("DEFECTLIB_STORE", str(disk))
        status, out, err = run(monkeypatch, capsys, *words)
        told_of_a_full_disk(status, out, err)
        assert not (disk / "denoiser").exists()
        assert not [path for path in disk.rglob("*.safetensors*") if path.is_file()]
        resize(disk, "1m")
        status, out, err = run(monkeypatch, capsys, *words)
        assert (status, err) == (0, "")
        assert (Path(out.strip()) / PROVENANCE).is_file()
        assert list((disk / "work").iterdir()) == []


def test_a_full_disk_under_the_target_is_one_line_and_the_next_run_goes_on(shared, tmp_path, monkeypatch, capsys):
    with small_disk(tmp_path / "disk", "32k") as disk:
        words = ("sample", *SMOKE, "--count", "12", "--out", str(disk / "pairs"))
        status, out, err = run(monkeypatch, capsys, *words)
        assert (status, out) == (2, "")
        assert err.startswith("the disk is full ([Errno 28] No space left on device: ")
        assert err.endswith(f"; {ADVICE}\n")
        assert (err.count("\n"), err.count("Errno")) == (1, 1)
        assert list(disk.iterdir()) == []
        resize(disk, "1m")
        assert run(monkeypatch, capsys, *words)[:2] == (0, f"12 pairs in {disk / 'pairs'}\n")
        assert verify.check(disk / "pairs").images == 12


def test_a_disk_that_fills_while_a_set_is_written(tmp_path, monkeypatch, capsys):
    words = ("sample", *SMOKE, "--count", "400", "--out", str(tmp_path / "pairs"))
    with small_disk(tmp_path / "disk", "2200k") as disk:  # what is unfinished fits, the pictures do not
        monkeypatch.setenv("DEFECTLIB_STORE", str(disk))
        status, out, err = run(monkeypatch, capsys, *words)
        told_of_a_full_disk(status, out, err)
        assert not (disk / "synthetic").exists()
        assert not list(disk.glob("work/synthetic-*/.dataset*"))
    assert not (tmp_path / "pairs").exists()


def test_a_disk_that_fills_as_the_last_file_is_flushed(store, monkeypatch, capsys):
    """The same where no disk can be mounted: the system says it when the loss curve is to reach the disk."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        status, out, err = run(monkeypatch, capsys, *GENERATOR)
    assert (status, out, err) == (2, "", f"the disk is full ([Errno 28] No space left on device); {ADVICE}\n")
    assert not (store.root / "denoiser").exists()
    assert not list(store.root.rglob("*losses.json*"))
    assert run(monkeypatch, capsys, *GENERATOR)[0] == 0
    assert store.find(small_training())


def test_numpy_s_words_for_a_full_disk_are_understood(tmp_path, monkeypatch, capsys):
    app = typer.Typer(pretty_exceptions_enable=False)
    with small_disk(tmp_path / "disk", "16k") as disk:

        @app.command()
        def fill() -> None:
            with (disk / "counts.npy").open("wb") as file:
                np.save(file, np.ones(100_000))

        monkeypatch.setattr(cli, "app", app)
        status, _, err = run(monkeypatch, capsys)
    assert status == 2
    assert err.startswith("the disk is full (100000 requested and ")


def test_ctrl_c_is_130_and_one_line_and_the_next_run_goes_on(store, tmp_path, monkeypatch, capsys):
    count, batch = 500, 25
    words = ("sample", *SMOKE, "--count", str(count), "--out", str(tmp_path / "pairs"))
    process = subprocess.Popen(
        [sys.executable, "-m", "defectlib", *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # also where tests ignore it
    )
    wait_for(lambda: list(store.root.glob("work/synthetic-*/unfinished/000000-*.npz")), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "interrupted; run the same command again to go on\n")
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    assert not (store.root / "synthetic").exists()
    done = len(list(store.root.glob("work/synthetic-*/unfinished/0*.npz")))
    assert 0 < done < count // batch

    from defectlib.defectgen import synthesis

    sampled, sample_pairs = [], synthesis.sample_pairs

    def watched(pipeline, settings, indices, size):
        sampled.extend(indices)
        return sample_pairs(pipeline, settings, indices, size)

    monkeypatch.setattr(synthesis, "sample_pairs", watched)
    status, out, err = run(monkeypatch, capsys, *words)
    assert (status, out, err) == (0, f"{count} pairs in {tmp_path / 'pairs'}\n", "")
    assert sampled == list(range(batch * done, count))
    assert len(folder.index(tmp_path / "pairs")) == count


def wait_for(happened: Callable[[], object], process: subprocess.Popen, seconds: float = 60) -> None:
    """Look every few milliseconds until something has happened; the process must still be at work then."""
    end = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)
