"""Artifacts: built once, found again, never half, resumed after a kill, mended when damaged."""

import errno
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from defectlib.data import procedural
from defectlib.data.folder import write_dataset
from defectlib.errors import UserError
from defectlib.experiments.export import copy_dataset
from defectlib.settings import DenoiserTraining as Training
from defectlib.settings import EmbeddedData, Fidelity, LargeNet, SmallNet, Synthesis
from defectlib.store import (
    PROVENANCE,
    SEAL,
    UNFINISHED,
    Store,
    digests,
    locked,
    read_provenance,
    read_sealed,
    settings_of,
    write_atomically,
    write_sealed,
)
from tests.filesystems import read_only

DATA = EmbeddedData(product="softgel")
LARGE = Training(data=DATA, net=LargeNet(), steps=10)
SMALL = Training(data=DATA, net=SmallNet(), steps=10)
SYNTHETIC = Synthesis(large=LARGE, small=SMALL, count=2)


def writes(settings, inputs, out):
    names = ",".join(sorted(inputs))
    (out / "net").mkdir()
    (out / "net" / "weights.txt").write_text(f"{settings.stage} {names}")


RUNNERS = {"denoiser": writes, "synthetic": writes, "fidelity": writes}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", shipped=None)


def test_an_artifact_is_built_with_its_inputs_and_then_found(store):
    calls = []
    runners = {name: lambda s, i, o: (calls.append(s.stage), writes(s, i, o)) for name in RUNNERS}
    assert store.find(SYNTHETIC) is None
    path = store.build(SYNTHETIC, runners)
    assert (path / "net" / "weights.txt").read_text() == "synthetic large,small"
    assert sorted(calls) == ["denoiser", "denoiser", "synthetic"]
    assert store.build(SYNTHETIC, runners) == path == Store(store.root, None).find(SYNTHETIC)
    assert len(calls) == 3


def test_provenance_says_how_an_artifact_came_to_be(store):
    record = read_provenance(store.build(SYNTHETIC, RUNNERS))
    assert settings_of(record) == SYNTHETIC
    assert record["inputs"] == {"large": LARGE.key(), "small": SMALL.key()}
    assert record["seed"] == 0
    assert record["device"] == "cpu"
    assert set(record["files"]) == {"net/weights.txt"}
    assert record["resumed"] is False
    for said in ("commit", "packages", "machine", "finished", "wall_seconds"):
        assert record[said] not in ("", None)


def test_a_failure_publishes_nothing_and_what_is_unfinished_is_gone_on_with(store):
    def fails_then_goes_on(settings, inputs, out):
        checkpoint = out / UNFINISHED / "step"
        if not checkpoint.exists():
            checkpoint.parent.mkdir()
            checkpoint.write_text("5")
            (out / "half.txt").write_text("half")
            raise RuntimeError("cut off")
        assert not (out / "half.txt").exists()
        (out / "from.txt").write_text(checkpoint.read_text())

    with pytest.raises(RuntimeError, match="cut off"):
        store.build(LARGE, {"denoiser": fails_then_goes_on})
    assert store.find(LARGE) is None
    path = store.build(LARGE, {"denoiser": fails_then_goes_on})
    assert {p.name for p in path.iterdir()} == {"from.txt", PROVENANCE}
    assert read_provenance(path)["resumed"] is True


def test_a_run_that_was_not_cut_off_is_not_called_resumed(store):
    def keeps_checkpoints(settings, inputs, out):
        (out / UNFINISHED).mkdir()
        (out / UNFINISHED / "step").write_text("5")

    assert read_provenance(store.build(LARGE, {"denoiser": keeps_checkpoints}))["resumed"] is False


context = multiprocessing.get_context("fork")


def _slow(settings, inputs, out):
    log = out.parents[1] / "runs.log"
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(0.5)
    (out / "weights.txt").write_text("done")


def _build(root):
    Store(root, None).build(LARGE, {"denoiser": _slow})


def _together(target, *arguments):
    """The exit statuses of six processes that do the same at once."""
    workers = [context.Process(target=target, args=arguments) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    return [worker.exitcode for worker in workers]


def test_of_many_processes_one_works(store):
    assert _together(_build, store.root) == [0] * 6
    assert len((store.root / "runs.log").read_text().split()) == 1


def test_after_kill_9_the_lock_is_free_and_nothing_half_is_served(store):
    worker = context.Process(target=_build, args=(store.root,))
    worker.start()
    log = store.root / "runs.log"
    while not log.exists():
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(30)
    assert store.find(LARGE) is None
    assert (store.build(LARGE, {"denoiser": _slow}) / "weights.txt").read_text() == "done"


def _hold(lock, held, end):
    with locked(lock, "busy"):
        held.set()
        end.wait(30)


def test_a_process_that_waits_says_once_what_it_waits_for(store, capsys, monkeypatch):
    monkeypatch.delenv("DEFECTLIB_QUIET", raising=False)
    held, end = context.Event(), context.Event()
    lock = store.root / "locks" / f"denoiser-{LARGE.key()}.lock"
    holder = context.Process(target=_hold, args=(lock, held, end))
    holder.start()
    assert held.wait(30)
    building = threading.Thread(target=store.build, args=(LARGE, RUNNERS))
    building.start()
    building.join(0.3)
    assert building.is_alive()
    end.set()
    building.join(30)
    holder.join(30)
    assert store.find(LARGE)
    assert capsys.readouterr().err == f"denoiser-{LARGE.key()}: another process is at work on it; waiting for it\n"


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_a_disk_without_locks_is_told_with_advice_that_fits(store, monkeypatch, code):
    def no_locks(file, operation):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(UserError, match=r"has no file locks .* set DEFECTLIB_STORE to a disk that has them"):
        store.build(LARGE, RUNNERS)
    assert store.find(LARGE) is None


def damaged(file, damage):
    """Flip a bit in the middle of ``file``, cut its last byte off, or remove it."""
    content = file.read_bytes()
    if damage == "remove":
        return file.unlink()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    return file.write_bytes(flipped if damage == "flip" else content[:-1])


@pytest.mark.parametrize("name", ["net/weights.txt", PROVENANCE])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_artifact_is_set_aside_and_made_again(store, name, damage, caplog):
    path = store.build(LARGE, RUNNERS)
    damaged(path / name, damage)
    fresh = Store(store.root, None)
    assert fresh.find(LARGE) is None
    assert (fresh.build(LARGE, RUNNERS) / "net" / "weights.txt").read_text() == "denoiser "
    assert "made again" in caplog.text
    assert len(list((store.root / "broken").iterdir())) == 1


def test_what_was_set_aside_may_be_removed_by_hand(store):
    def break_and_mend(settings):
        damaged(store.build(settings, RUNNERS) / "net" / "weights.txt", "flip")
        Store(store.root, None).build(settings, RUNNERS)
        return set((store.root / "broken").iterdir())

    (first,) = break_and_mend(LARGE)
    break_and_mend(SMALL)
    shutil.rmtree(first)
    assert len(break_and_mend(SMALL)) == 2


@pytest.mark.parametrize("content", ["", "[]", "7", "[" * 100_000], ids=["nothing", "list", "number", "too deep"])
def test_a_provenance_that_is_none_counts_as_damage(store, content):
    (store.build(LARGE, RUNNERS) / PROVENANCE).write_text(content)
    assert Store(store.root, None).find(LARGE) is None


def test_every_bit_of_the_provenance_counts(store):
    file = store.build(LARGE, RUNNERS) / PROVENANCE
    content = file.read_text()
    record = json.loads(content)
    for name in set(record) - {"files", SEAL}:
        file.write_text(json.dumps(record | {name: "another"}))
        assert Store(store.root, None).find(LARGE) is None, name
    file.write_text(json.dumps({name: value for name, value in record.items() if name != SEAL}))
    assert Store(store.root, None).find(LARGE)  # as those made before records were sealed


def test_processes_that_find_an_artifact_damaged_make_it_again_once(store):
    path = store.build(LARGE, {"denoiser": _slow})
    damaged(path / "weights.txt", "flip")
    (store.root / "runs.log").unlink()
    assert _together(_build, store.root) == [0] * 6
    assert len((store.root / "runs.log").read_text().split()) == 1
    assert len(list((store.root / "broken").iterdir())) == 1
    assert Store(store.root, None).find(LARGE) == path


def test_an_artifact_that_only_lacks_its_name_is_not_made_again(store, monkeypatch):
    """As after a kill between the last file and the name: hours of training must not hang on that moment."""

    def trained(settings, inputs, out):
        (out / UNFINISHED).mkdir(exist_ok=True)
        (out / UNFINISHED / "step").write_text("5")
        writes(settings, inputs, out)

    def killed(path, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            store.build(LARGE, {"denoiser": trained})
    assert store.find(LARGE) is None
    path = store.build(LARGE, {})  # nobody who could make it
    assert {p.name for p in path.iterdir()} == {"net", PROVENANCE}
    assert Store(store.root, None).find(LARGE) == path


def test_a_store_that_cannot_be_written_to_serves_what_it_has(store, tmp_path):
    path = store.build(LARGE, RUNNERS)
    damaged(store.build(SMALL, RUNNERS) / "net" / "weights.txt", "flip")
    with read_only(store.root):
        locked = Store(store.root, None)
        assert locked.build(LARGE, {}) == path
        for settings in (SMALL, SYNTHETIC):
            with pytest.raises(UserError, match=f"^cannot write to {store.root}/.*set DEFECTLIB_STORE to a folder"):
                locked.build(settings, RUNNERS)


def test_what_is_sealed_is_read_back_as_it_was_or_not_at_all(tmp_path):
    path = tmp_path / "a"
    assert read_sealed(path) is None
    for content in (b"", b"content"):
        write_sealed(path, content)
        assert read_sealed(path) == content
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        assert read_sealed(path) is None
        path.write_bytes(whole[:i])
        assert read_sealed(path) is None


def test_the_shipped_layer_serves_any_machine_and_is_never_written(tmp_path):
    made = Store(tmp_path / "made", None).build(LARGE, RUNNERS)
    shipped = tmp_path / "shipped" / "denoiser" / LARGE.key(any_machine=True)
    shipped.parent.mkdir(parents=True)
    made.rename(shipped)
    store = Store(tmp_path / "store", tmp_path / "shipped")
    on_gpu = LARGE.model_copy(update={"device": "cuda", "dtype": "bf16"})
    assert store.find(LARGE) == store.find(on_gpu) == shipped
    assert store.find(SMALL) is None
    assert not store.root.exists()
    (shipped / "net" / "weights.txt").write_text("damaged")
    with pytest.raises(UserError, match="has changed since it was written; this file is part of the package"):
        Store(tmp_path / "store", tmp_path / "shipped").find(LARGE)


def test_a_root_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set DEFECTLIB_STORE to a folder you own"):
        Store(tmp_path / "file" / "store", None).build(LARGE, RUNNERS)


def test_atomic_writing_leaves_the_old_content_or_the_new(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    with pytest.raises(TypeError):
        write_atomically(path, 3)
    assert path.read_text() == "old"
    write_atomically(path, json.dumps([1]))
    assert path.read_text() == "[1]"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


WRITERS = {
    "a file": lambda out: write_atomically(out, b"x" * 3_000_000),
    "a dataset": lambda out: write_dataset(out, (procedural.sample("washer", "train", i, size=32) for i in range(6))),
    "an export": lambda out: copy_dataset(out.parent / "pairs", out, {"report.json": "{}"}),
}


def _write(kind, root, rounds, start):
    os.getpid = lambda: 7  # as in containers that share a disk
    statuses = set()
    for number in range(rounds):
        start.wait(60)
        try:
            WRITERS[kind](root / str(number))
            statuses.add(0)
        except UserError as error:
            statuses.add(2 if "is there already and not empty" in str(error) else 3)
    sys.exit(max(statuses))


@pytest.mark.parametrize("kind", WRITERS)
def test_processes_that_write_the_same_at_once_leave_it_whole_and_nothing_else(tmp_path, kind):
    write_dataset(tmp_path / "pairs", [procedural.sample("softgel", "train", i, size=32) for i in range(20)])
    WRITERS[kind](tmp_path / "alone")
    rounds = 8
    assert set(_together(_write, kind, tmp_path, rounds, context.Barrier(6))) <= {0, 2}
    whole = digests(tmp_path / "alone") if kind != "a file" else (tmp_path / "alone").read_bytes()
    for number in range(rounds):
        out = tmp_path / str(number)
        assert (digests(out) if kind != "a file" else out.read_bytes()) == whole
    assert {path.name for path in tmp_path.iterdir()} == {"pairs", "alone", *map(str, range(rounds))}


def test_what_is_no_plain_file_is_not_written_over(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "link", "folder"):
        with pytest.raises(UserError, match=f"{name}: is a folder or a special file; name another place"):
            write_atomically(tmp_path / name, "content")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]
    assert (tmp_path / "link").is_symlink()


def test_the_root_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("DEFECTLIB_STORE", str(tmp_path / "elsewhere"))
    assert Store().root == tmp_path / "elsewhere"


def test_inputs_of_inputs_are_built_too(store):
    store.build(Fidelity(synthetic=SYNTHETIC), RUNNERS)
    assert store.find(SMALL) is not None
