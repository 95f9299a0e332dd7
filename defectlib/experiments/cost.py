"""What the paper's tables and figures cost on its own data: steps of the `gpu` profile's plans × seconds of a step.

A step at the paper's size takes as long as its operations at the rate that was measured of the same network on the
machine at hand. Nothing that the hours rest on is typed in.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from defectlib.experiments.baselines import Baselines
from defectlib.experiments.boost import Controls, Ratios
from defectlib.experiments.dataset import PAPER, PRODUCTS, Run, known, runs
from defectlib.experiments.speed import WAYS, Speed
from defectlib.experiments.study import Study
from defectlib.profiles import Profile, load_profile
from defectlib.settings import (
    MODEL_NAMES,
    DenoiserTraining,
    SegmenterTiming,
    SegmenterTraining,
    Stage,
    Synthesis,
    Throughput,
)
from defectlib.store import provenance

SETTING = "gpu"
"""The profile that is priced: the paper's setting."""
EVERYTHING = "everything"

#: Network, what it does (a training step, or a call), side of its images in pixels.
Part = tuple[str, str, int]


@dataclass(frozen=True)
class Job(Run):
    """A command, and the ``stages`` that it makes, inputs not listed."""

    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Cost(Study):
    """The throughput of the profile's networks, and what the whole reproduction costs at that.

    Args:
        product: Whose images the networks are timed with: of the embedded dataset, or DATASET/PRODUCT.
    """

    product: str = "softgel"
    whole: Profile = field(default_factory=lambda: load_profile(SETTING), init=False)

    @property
    def throughput(self) -> Throughput:
        """Both denoisers, the paper's own unless the profile says otherwise, and the baselines that the profile times.

        Images are of the profile's size. On a GPU a call is on as many as are sampled together; on a CPU few will do.
        """
        profile, data, machine = self.profile, self.profile.data(self.product), self.profile.machine
        here = {"device": machine["device"], "precision": machine["dtype"]}
        nets = self.whole.model_copy(update=here) if profile.speed.full_denoisers else profile
        large, small = nets.large_training(data), nets.small_training(data)
        # Nothing is to be fetched for this, and weights do not change how long a network takes.
        models = (profile.evaluation(data, name).segmenter for name in profile.speed.models)
        return Throughput(
            denoisers=(large, small),
            segmenters=tuple(training.model_copy(update={"pretrained": False}) for training in models),
            machine=profile.segmenter_timing(self.product).machine,
            pairs=Synthesis.model_fields["batch"].default if machine["device"] == "cuda" else large.batch,
            rounds=min(Throughput.model_fields["rounds"].default, profile.speed.rounds),
            device=machine["device"],
        )

    def stages(self) -> tuple[Stage, ...]:
        """The throughput alone."""
        return (self.throughput,)

    @cached_property
    def speeds(self) -> pd.DataFrame:
        """Index ``network``, ``work``; ``side``, ``images``, ``operations`` of one go, and its ``seconds``.

        ``seconds`` is the median of the rounds, ``seconds_low`` and ``seconds_high`` their range.
        """
        found = json.loads((self.path(self.throughput) / "throughput.json").read_text())
        rows = pd.DataFrame(found["timed"]).set_index(["network", "work"])
        rounds = rows.pop("seconds")
        for name, of in {"seconds": "median", "seconds_low": "min", "seconds_high": "max"}.items():
            rows[name] = [getattr(pd.Series(each), of)() for each in rounds]
        settings = self.throughput
        about = {"profile": self.profile.name, "accelerator": found["accelerator"], "rounds": settings.rounds}
        about |= {"threads": settings.threads, "dtype": settings.denoisers[0].dtype}
        rows.attrs["provenance"] = provenance(settings) | about
        return rows

    def records(self) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
        """The speeds as the reference results of this device."""
        return {self.record_name: (self.speeds, self.speeds.attrs["provenance"])}

    @property
    def record_name(self) -> str:
        """What the reference results of this device are called."""
        return record_name(self.throughput.device)

    def jobs(self) -> tuple[Job, ...]:
        """A command for each table, those first whose results later ones take up."""
        speed = Run("Table 2", "13_speed", {"profile": self.whole.name})  # of an image its size alone counts
        every = (speed, *runs(PAPER, self.whole.name))
        return tuple(Job(run.makes, run.notebook, run.parameters, self._stages(run)) for run in every)

    def _stages(self, run: Run) -> tuple[Stage, ...]:
        if run.notebook == "13_speed":
            return Speed(self.whole).stages()
        products, models, ratios = (tuple(run.parameters.get(name, ())) for name in ("products", "models", "ratios"))
        if run.notebook == "14_baselines":
            return Baselines(self.whole, products).stages()
        return Ratios(self._of(products, models or self.whole.boosted, ratios or self.whole.ratios)).stages()

    def beside(self) -> Job:
        """What the commands of the boost make as well, and the paper does not have: controls on embedded images."""
        notebook = "05_synthetic_boost"
        ratios = {
            tuple(job.parameters.get("ratios", self.whole.ratios)) for job in self.jobs() if job.notebook == notebook
        }
        profiles = [self._of((), (), each) for each in sorted(ratios)]
        stages = tuple(stage for profile in profiles for stage in Controls(profile).stages())
        return Job("controls (not in the paper)", notebook, {}, stages)

    def _of(self, products: Iterable[str], models: Iterable[str], ratios: Iterable[int]) -> Profile:
        chosen = {"products": tuple(products), "boosted": tuple(models), "ratios": tuple(ratios)}
        return self.whole.model_copy(update=chosen)

    @cached_property
    def work(self) -> pd.DataFrame:
        """Index ``makes``, ``network``, ``work``, ``side``; ``trainings``, ``steps`` (or calls), their ``operations``.

        What the rows before have made is not made again.
        """
        seen: set[str] = set()
        rows: dict[tuple, list] = {}
        for job in (*self.jobs(), self.beside()):
            for stage in every_stage(job.stages, seen):
                for part, (steps, images) in steps_of(stage).items():
                    row = rows.setdefault((job.makes, *part), [0, 0, 0.0])
                    row[0] += part[1] == "step"
                    row[1] += steps
                    row[2] += float(steps * images * self.operations(*part))  # too many for 64 bits
        index = pd.MultiIndex.from_tuples(rows, names=["makes", "network", "work", "side"])
        return pd.DataFrame(list(rows.values()), index, columns=["trainings", "steps", "operations"])

    def operations(self, network: str, work: str, side: int) -> int:
        """Floating-point operations for one image, of the whole setting's network.

        Counted for the number of defect types that most products have; it enters the first and the last layer alone.
        """
        from defectlib.experiments import throughput

        nets = {"large": self.whole.large_net, "small": self.whole.small_net(self.whole.receptive_field)}
        trains = work == "step"
        if network in nets:
            each = throughput.operations_of_denoiser(nets[network], self.defect_types, side)
        else:
            each = throughput.operations_of_segmenter(network, self.defect_types, side, training=trains)
        return each * (throughput.PASSES_OF_A_STEP if trains else 1)

    @cached_property
    def defect_types(self) -> int:
        """Of most products."""
        every = (self.whole.data(known(name)) for names in PRODUCTS.values() for name in names)
        return Counter(len(data.classes) for data in every).most_common(1)[0][0]


def record_name(device: str) -> str:
    """What the reference results of a device are called."""
    return f"throughput_{device}"


def steps_of(stage: Stage) -> dict[Part, tuple[int, int]]:
    """How many steps or calls of which network a stage takes, and of how many images each is."""
    if isinstance(stage, DenoiserTraining | SegmenterTraining):
        network = stage.net.kind if isinstance(stage, DenoiserTraining) else stage.model
        return {(network, "step", stage.crop or stage.data.size): (stage.steps, stage.batch)}
    if isinstance(stage, Synthesis):
        from defectlib.defectgen.timesteps import two_stage_timesteps

        calls = two_stage_timesteps(stage.switch_step, stage.num_inference_steps)
        side, nets = stage.size or stage.data.size, (stage.large.net.kind, stage.small.net.kind)
        return {(net, "call", side): (len(t) * stage.count, 1) for net, t in zip(nets, calls, strict=True) if len(t)}
    if isinstance(stage, SegmenterTiming):
        from defectlib.segmentation.latency import WARM_UP

        calls = len(WAYS) * (WARM_UP + stage.rounds)
        return {(model, "call", stage.data.size): (calls, 1) for model in stage.models}
    return {}


def every_stage(stages: Iterable[Stage], seen: set[str]) -> Iterator[Stage]:
    """All ``stages`` and their inputs that are not ``seen``, each once, inputs first."""
    for stage in stages:
        if (key := stage.key()) not in seen:
            seen.add(key)
            yield from every_stage(stage.inputs().values(), seen)
            yield stage


def hours(work: pd.DataFrame, speeds: pd.DataFrame) -> pd.DataFrame:
    """The table: ``work`` with ``share`` (what it is for), ``seconds`` of a step or call, ``hours`` and their range.

    A baseline that was not timed is taken to be as slow as the slowest that was.

    Args:
        work: See :attr:`Cost.work`.
        speeds: See :attr:`Cost.speeds`; of this run or reference results.
    """
    found = work.copy()
    nets = {"large": "large nets", "small": "small nets"}
    found["share"] = [
        nets.get(network, "baselines") if does == "step" or network not in nets else "sampling"
        for _, network, does, _ in work.index
    ]
    for end in ("", "_low", "_high"):
        rates = speeds["operations"] / speeds[f"seconds{end}"]
        slowest = rates[[name in MODEL_NAMES for name in rates.index.get_level_values("network")]].groupby("work").min()
        each = [rates.get((network, does), slowest[does]) for _, network, does, _ in work.index]
        found[f"hours{end}"] = work["operations"] / each / 3600
    return found.assign(seconds=3600 * found["hours"] / found["steps"])


def by_table(found: pd.DataFrame) -> pd.DataFrame:
    """Of :func:`hours` the sums: index ``makes``, and :data:`EVERYTHING` in the last row."""
    table = found.drop(columns=["share", "seconds"]).groupby(level="makes", sort=False).sum()
    return pd.concat([table, table.sum().to_frame(EVERYTHING).T]).rename_axis("makes")
