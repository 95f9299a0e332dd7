"""What is disturbed: six commands with settings so small that an undisturbed run takes seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.faults import runs, state
from benchmarks.faults.runs import Run
from defectlib.data import procedural
from defectlib.data.folder import write_dataset
from defectlib.data.loading import folder_data
from defectlib.runtime import REPOSITORY
from defectlib.settings import DenoiserTraining, EmbeddedData, LargeNet, SegmenterTraining, SmallNet, Stage, Synthesis

DATA = EmbeddedData(product="softgel", size=32, shots=1, eval_count=6)
GENERATOR = DenoiserTraining(
    data=DATA, net=LargeNet(channels=(8, 16), attention=(1,)), steps=40, batch=2, checkpoint_every=4
)
LARGE = GENERATOR.model_copy(update={"steps": 20})
SMALL = LARGE.model_copy(update={"net": SmallNet(receptive_field=17, channels=8)})
PAIRS = Synthesis(large=LARGE, small=SMALL, count=60, batch=5, num_inference_steps=4)
SEGMENTER = SegmenterTraining(data=DATA, model="UNet", steps=12, batch=2, checkpoint_every=2)
#: The profile of `augment` and of the notebook: smoke, with stages that last.
PROFILE = {
    "base": "smoke",
    "large": {"steps": 15, "batch": 2, "checkpoint_every": 3},
    "small": {"steps": 15, "batch": 2, "checkpoint_every": 3},
    "own": {
        "large": {"steps": 15, "batch": 2, "checkpoint_every": 3},
        "small": {"steps": 15, "batch": 2, "checkpoint_every": 3},
        "count": 10,
        "segmenter": {"steps": 3},
    },
}
NOTEBOOK = "09_released_code"


@dataclass
class Place:
    """Where one try takes place.

    Attributes:
        folder: Of this try alone.
        shared: Data and settings of all tries.
    """

    folder: Path
    shared: Path

    @property
    def store(self) -> Path:
        """The store of this try."""
        return self.folder / "store"

    @property
    def out(self) -> Path:
        """What a command is told to write to."""
        return self.folder / "out"


@dataclass
class Target:
    """A command that is disturbed.

    Attributes:
        name: What it does.
        words: Its arguments at a place.
        needs: Stages that are there before.
        outputs: What it writes besides artifacts, at a place.
    """

    name: str
    words: Callable[[Place], list[str]]
    needs: tuple[Stage, ...] = ()
    outputs: Callable[[Place], Path | None] = field(default=lambda place: None)

    def start(self, place: Place, name: str, fresh: bool = False, **variables: str) -> Run:
        """Start it at ``place``; its streams go to the folder ``name`` there."""
        environment = runs.environment(place.store, **variables)
        if fresh:
            return runs.fresh(self.words(place), place.folder / name, environment)
        return runs.forked(self.words(place), place.folder / name, environment)

    def prepare(self, place: Place, base: Path | None = None) -> Place:
        """A fresh place, with what the command needs in its store: made, or copied from ``base``."""
        shutil.rmtree(place.folder, ignore_errors=True)
        place.folder.mkdir(parents=True)
        if base is not None and base.exists():
            shutil.copytree(base, place.store)
        else:
            for number, stage in enumerate(self.needs):
                run = runs.forked(_build(stage, place), place.folder / f"need-{number}", runs.environment(place.store))
                if run.wait():
                    raise RuntimeError(f"what {self.name} needs was not made: {run.err}")
        return place

    def results(self, place: Place) -> dict[str, str]:
        """Digests of all that it leaves: artifacts and output."""
        found = state.results(place.store)
        out = self.outputs(place)
        return found if out is None else found | {"output": state.content(out) if out.exists() else "absent"}


def _build(stage: Stage, place: Place) -> list[str]:
    plan = place.shared / "plans" / f"{stage.stage}-{stage.key()}.json"
    if not plan.exists():
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(json.dumps({"stage": stage.stage, "settings": stage.model_dump(mode="json")}))
    return ["build", "--settings", str(plan)]


def builds(name: str, stage: Stage) -> Target:
    """``defectlib build`` of one stage, whose inputs are there."""
    return Target(name, lambda place: _build(stage, place), needs=tuple(stage.inputs().values()))


def _augment(place: Place) -> list[str]:
    data, profile = str(own_data(place.shared)), str(own_profile(place.shared))
    return ["augment", data, "--out", str(place.out), "--profile", profile]


def _notebook(place: Place) -> list[str]:
    source = REPOSITORY / "notebooks" / f"{NOTEBOOK}.ipynb"
    target = place.folder / "page" / "out.ipynb"
    return ["run-notebook", str(source), str(target), "-p", f"profile={own_profile(place.shared)}"]


def own_data(shared: Path) -> Path:
    """A dataset folder with its split, as a user might have it."""
    root = shared / "parts"
    if not root.exists():
        write_dataset(root, (procedural.sample("washer", "oracle", i, size=64) for i in range(15)))
        folder_data(root)
    return root


def own_profile(shared: Path) -> Path:
    """The profile of what runs on it."""
    path = shared / "own.yaml"
    if not path.exists():
        shared.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(PROFILE))
    return path


TARGETS = {
    "generator training": builds("generator training", GENERATOR),
    "sampling": builds("sampling", PAIRS),
    "segmenter training": builds("segmenter training", SEGMENTER),
    "augment": Target("augment", _augment, outputs=lambda place: place.out),
    "notebook": Target("notebook", _notebook, outputs=lambda place: place.folder / "page" / "out.ipynb"),
}
