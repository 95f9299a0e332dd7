"""`defectlib store --prune` removes what nothing will ask for again, and says how much; all else stays."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from defectlib.data import procedural
from defectlib.data.folder import write_dataset
from defectlib.experiments.own import take_up
from defectlib.publishing.notebooks import source_digest
from defectlib.settings import DenoiserTraining, EmbeddedData, FolderData, LargeNet, NotebookRun, SegmenterTraining
from defectlib.store import UNFINISHED, Store, read_provenance, write_provenance
from tests.test_cli import run

DATA = EmbeddedData(product="softgel")
TRAINING = DenoiserTraining(data=DATA, net=LargeNet(), steps=1)
NETS = [TRAINING.model_copy(update={"steps": steps}) for steps in range(1, 9)]
WEIGHTS = b"w" * 300_000


def writes(settings, inputs, out):
    (out / "net").mkdir()
    (out / "net" / "weights").write_bytes(WEIGHTS)


def interrupted(settings, inputs, out):
    (out / UNFINISHED).mkdir()
    (out / UNFINISHED / "checkpoint").write_bytes(WEIGHTS)
    raise KeyboardInterrupt


RUNNERS = {"denoiser": writes, "segmenter": writes, "notebook": writes}


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "store"))
    return Store(shipped=None)


def trained_on(folder: Path, product: str, store: Store) -> Path:
    """Where the split is of a dataset folder without one of its own, on which a network is trained."""
    write_dataset(folder, (procedural.sample(product, "train", i, size=32) for i in range(20)))
    data = take_up(folder)
    assert isinstance(data, FolderData)
    store.build(SegmenterTraining(data=data, model="UNet", steps=1), RUNNERS)
    return Path(data.split).parent


def leave(store: Store, settings: DenoiserTraining, days: float) -> Path:
    """What an interrupted training left so many days ago."""
    with pytest.raises(KeyboardInterrupt):
        store.build(settings, {"denoiser": interrupted})
    work = store.root / "work" / f"denoiser-{settings.key()}"
    for path in (work / UNFINISHED / "checkpoint", work / UNFINISHED, work):
        os.utime(path, times=(time.time() - 86_400 * days,) * 2)
    return work


def size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.name != "splits"}


def test_what_nothing_asks_for_goes_and_all_else_stays(store, tmp_path, monkeypatch, capsys):
    kept = [
        store.build(NETS[0], RUNNERS),
        trained_on(tmp_path / "here", "washer", store),
        leave(store, NETS[1], days=6),
    ]
    used = leave(store, NETS[2], days=9)
    for place in ("work/my thesis", "broken/vase", "locks/mine.lock", "denoiser/notes", "photos/holiday"):
        kept.append(store.root / place / "kept")
        kept[-1].parent.mkdir(parents=True)
        kept[-1].write_text("mine")
    with monkeypatch.context() as patched:
        patched.setattr(DenoiserTraining, "version", 0)
        gone = [store.build(NETS[3], RUNNERS)]
    gone.append(store.build(NETS[4], RUNNERS))
    for folder, code in ((kept, source_digest()), (gone, "that of yesterday")):
        notebook = NotebookRun(notebook="04_switch_step", parameters={}, cells="", code=code, reads=(NETS[0],))
        folder.append(store.build(notebook, RUNNERS))
    record = read_provenance(gone[1])
    write_provenance(gone[1], record | {"settings": record["settings"] | {"momentum": 0.9}})
    (store.build(NETS[5], RUNNERS) / "net" / "weights").write_bytes(b"damaged")
    kept.append(Store(store.root, None).build(NETS[5], RUNNERS))
    gone += [*(store.root / "broken").glob("denoiser-*"), leave(store, NETS[6], days=8)]
    gone.append(trained_on(tmp_path / "there", "softgel", store))
    (tmp_path / "there").rename(tmp_path / "elsewhere")

    with FileLock(store.root / "locks" / f"{used.name}.lock"):
        before, all_ = files(tmp_path), size(tmp_path)
        told = {}
        for words in ((), ("--dry-run",), ("--prune", "--dry-run"), ("--prune",)):
            status, out, err = run(monkeypatch, capsys, "store", *words)
            assert (status, err) == (0, "")
            told[words] = out
            if words != ("--prune",):
                assert files(tmp_path) == before
        assert [path.stem for path in (store.root / "locks").glob("denoiser-*")] == [used.name]
    *lines, last = told["--prune",].splitlines()
    assert {line.split("MB  ")[1].split(":")[0] for line in lines if "; kept" not in line} == {
        str(path.relative_to(store.root)) for path in gone
    }
    assert [line.split("MB  ")[1].split(":")[0] for line in lines if "; kept" in line] == [
        str(kept[2].relative_to(store.root))
    ]
    assert last == f"{store.root}: {(all_ - size(tmp_path)) / 1e6:,.1f} MB freed"
    assert told[()] == told["--dry-run",] == told["--prune", "--dry-run"]
    assert told[()].replace("would be freed by --prune", "freed") == told["--prune",]
    assert last.endswith(" 1.2 MB freed")
    assert not [path for path in gone if path.exists()]
    assert all(path.exists() for path in [*kept, used / UNFINISHED / "checkpoint"])
    assert Store(store.root, None).find(NETS[0]) == kept[0]


def test_an_interrupted_run_goes_if_it_is_to(store, monkeypatch, capsys):
    work = leave(store, NETS[0], days=0)
    assert "0.3 MB freed" in run(monkeypatch, capsys, "store", "--prune", "--days", "0")[1]
    assert not work.exists()
    assert json.loads((store.build(NETS[0], RUNNERS) / "provenance.json").read_text())["resumed"] is False


def test_an_empty_store_has_nothing_to_prune(store, monkeypatch, capsys):
    assert run(monkeypatch, capsys, "store", "--prune") == (0, f"{store.root}: 0.0 MB freed\n", "")
    assert not store.root.exists()
