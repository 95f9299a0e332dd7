"""A handful of each fault, for real; and that the harness sees what is wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from benchmarks.faults import __main__ as faults
from benchmarks.faults import damage, kills, outcome, refusals, runs, state
from benchmarks.faults.targets import GENERATOR, TARGETS, Place, builds
from defectlib.runtime import REPOSITORY, numpy_generator
from defectlib.store import changed_since_sealed

QUICK = builds("generator training", GENERATOR.model_copy(update={"steps": 30}))


@pytest.fixture
def place(tmp_path):
    return QUICK.prepare(Place(tmp_path / "try", tmp_path / "shared"))


def made(place):
    run = QUICK.start(place, "run", fresh=True)
    assert run.wait() == 0, run.err
    return run


def test_the_harness_counts_kills_by_the_true_command():
    """In a process of its own: it forks, which one that has computed something must not."""
    kinds = ["kill-generator-training", "kill-sampling"]
    command = [sys.executable, "-m", "benchmarks.faults", "--kills", "4", "--only", *kinds]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [line.split() for line in run.stdout.splitlines()[1:3]]
    assert [line[-4:] for line in lines] == [["1", "0", "1", "1"]] * 2
    assert run.stdout.splitlines()[-1] == "2 faults; lines that failed: 0"


def test_a_kill_counts_only_in_the_middle_of_a_stage(place):
    run = QUICK.start(place, "killed", fresh=True)
    assert state.in_progress(place.store) is None
    found = kills._kill_at(run, place.store, {f"denoiser-{key(QUICK)}": 1.0}, 0.0, head_alone=False)
    assert found["stage"] == "denoiser"
    assert run.status == -9
    assert state.in_progress(place.store) is None  # the lock is free
    assert made(place).out.strip() == str(place.store / "denoiser" / key(QUICK))
    assert (
        kills._kill_at(QUICK.start(place, "late", fresh=True), place.store, {"denoiser-none": 1.0}, 0.5, False) is None
    )


def key(target):
    return GENERATOR.model_copy(update={"steps": 30}).key()


def test_what_is_wrong_is_seen(place):
    artifact = place.store / "denoiser" / key(QUICK)
    made(place)
    expected = state.results(place.store)
    assert state.faults(place.store, expected) == []
    assert kills.differences(QUICK.results(place), expected) == []
    weights = next(artifact.rglob("*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(damage.flipped(whole, 8 * len(whole) - 1))
    name = f"denoiser/{key(QUICK)}"
    assert [fault.split(": ")[0] for fault in state.faults(place.store, expected)] == [name, name]
    assert kills.differences(QUICK.results(place), expected) == [name]
    # Weights that are not the expected ones are seen even where the record agrees with them.
    record = json.loads((artifact / "provenance.json").read_text())
    record["files"][weights.relative_to(artifact).as_posix()] = digest(weights)
    (artifact / "provenance.json").write_text(json.dumps(record))
    assert state.faults(place.store, expected) == [f"{name}: differs from that of an undisturbed run"]
    (artifact / "provenance.json").unlink()
    assert "cannot be read" in state.faults(place.store, expected)[0]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_when_and_where_do_not_make_results_differ(tmp_path):
    for name, seconds in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        values = {"loss": 0.5, "seconds": seconds, "provenance": {"finished": seconds, "seed": 0}}
        (tmp_path / name / "losses.json").write_text(json.dumps([values]))
    assert state.content(tmp_path / "a") == state.content(tmp_path / "b")
    (tmp_path / "b" / "losses.json").write_text(json.dumps([{"loss": 0.6}]))
    assert state.content(tmp_path / "a") != state.content(tmp_path / "b")


def test_a_disk_that_is_full_is_told_in_a_line_and_then_gone_on_from(tmp_path):
    base, _, expected = kills.undisturbed(QUICK, tmp_path)
    found = outcome.Outcome("disk full", "a test")
    refusals._fill(QUICK, tmp_path / "full", base, expected, 12, found)
    assert (found.counted, found.passed) == (1, True), found.events
    assert found.events[0]["said"].startswith("the disk is full")


def test_a_read_only_store_serves_and_refuses(tmp_path):
    for found in refusals.read_only_store(tmp_path):
        assert found.passed, found
        assert found.counted == 1 or found.skipped


def test_damages_are_cuts_and_single_bits():
    content = bytes(range(100))
    found = damage.damages(content, numpy_generator(0, "test"))
    cuts, flips = found[: damage.CUTS], found[damage.CUTS :]
    assert all(content.startswith(cut) and len(cut) < 100 for _, cut in cuts)
    for _, flip in flips:
        turned = [a ^ b for a, b in zip(content, flip, strict=True) if a != b]
        assert len(turned) == 1
        assert turned[0].bit_count() == 1


def test_the_table_says_what_failed(tmp_path):
    good, bad = outcome.Outcome("kill -9", "a"), outcome.Outcome("kill -9", "b", tries=2)
    good.count([], True, True, stage="denoiser")
    bad.count(["weights"], True, False, stage="denoiser")
    assert outcome.line(good).split()[-4:] == ["1", "0", "1", "1"]
    assert outcome.line(bad).endswith("FAILED")
    assert bad.passed is False
    path = tmp_path / "faults.json"
    outcome.write(path, "races", [], seed=1)
    outcome.write(path, "kills", [good, bad], seed=0)
    outcome.write(path, "races", [outcome.Outcome("races", "c", skipped="no library")], seed=0)
    record = json.loads(path.read_text())
    assert list(record["kinds"]) == ["kills", "races"]
    assert not changed_since_sealed(record)
    assert changed_since_sealed(record | {"kinds": {}})
    assert record["columns"] == list(outcome.COLUMNS)
    assert [row[1:] for row in record["kinds"]["kills"]["rows"]] == [["a", 0, 1, 0, 1, 1], ["b", 2, 1, 1, 1, 0]]
    assert record["kinds"]["kills"]["events"][1] == {
        "where": "b", "stage": "denoiser", "wrong": ["weights"], "finished": True, "equal": False
    }  # fmt: skip
    assert record["kinds"]["races"]["skipped"] == {"c": "no library"}
    assert record["kinds"]["races"]["provenance"]["seed"] == 0


def test_only_a_whole_count_becomes_the_record(capsys):
    for part in (["--only", "races"], ["--kills", "99"]):
        with pytest.raises(SystemExit) as ended:
            faults.main([*part, "--record"])
        assert ended.value.code == 2
        assert "--record wants every kind, and 100 kills or more" in capsys.readouterr().err


def test_a_whole_count_is_kept_as_it_goes_and_of_record_at_its_end(monkeypatch, tmp_path, capsys):
    record = tmp_path / "reference" / "faults.json"

    def counted(kind):
        def do(work, seed, kills):
            assert not record.exists()
            one = outcome.Outcome(kind, f"{seed}, {kills}")
            one.count([], True, True)
            yield one

        return do

    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "faults.json").write_text("of another time")
    record.parent.mkdir()
    monkeypatch.setattr(faults, "KINDS", {kind: counted(kind) for kind in ("one", "other")})
    monkeypatch.setattr(faults, "REPOSITORY", tmp_path)
    monkeypatch.setattr(faults.results, "RESULTS", record.parent)
    monkeypatch.setattr(runs, "warm", lambda: None)
    assert faults.main(["--record", "--seed", "3"]) == 0
    assert capsys.readouterr().out.endswith("2 faults; lines that failed: 0\n")
    kept = (tmp_path / "build" / "faults.json").read_text()
    assert record.read_text() == kept
    rows = [kind["rows"][0][:4] for kind in json.loads(kept)["kinds"].values()]
    assert rows == [["one", "3, 100", 0, 1], ["other", "3, 100", 0, 1]]


def test_every_share_has_its_target_and_they_are_a_hundred():
    assert kills.SHARES.keys() == TARGETS.keys()
    assert sum(kills.SHARES.values()) == 100
    assert runs.environment(REPOSITORY)["OMP_NUM_THREADS"] == "1"
