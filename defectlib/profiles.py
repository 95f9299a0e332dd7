"""Profiles: one YAML file that says how much of everything a run may cost. Loads no torch.

A value's origin, weakest first: defaults here < ``notebooks/profiles/NAME.yaml`` < a file of your own < a notebook's
or command's parameter. A profile makes the settings of stages, so what two notebooks ask for under one profile is one
artifact.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from defectlib.data.sources.manifest import published_data
from defectlib.errors import UserError, unknown
from defectlib.reading import read_yaml
from defectlib.runtime import REPOSITORY, machine, path_of
from defectlib.settings import (
    LEARNING_RATES,
    MODEL_NAMES,
    PRETRAINABLE,
    RECEPTIVE_FIELDS,
    ClickerTraining,
    Clicking,
    ClickMethod,
    Data,
    DenoiserTraining,
    EmbeddedData,
    Evaluation,
    Fidelity,
    Judgement,
    LargeNet,
    LrSchedule,
    Net,
    OracleTraining,
    PublishedData,
    ReleasedFidelity,
    ReleasedSynthesis,
    RivalFidelity,
    RivalJudgement,
    RivalMethod,
    RivalSynthesis,
    RivalTraining,
    Sampler,
    SamplerTiming,
    SegmenterTiming,
    SegmenterTraining,
    Settings,
    SmallNet,
    Synthesis,
    T,
    parse,
)

PROFILES = REPOSITORY / "notebooks" / "profiles"


class NetBudget(Settings):
    """How one of the two denoisers is trained: fields of :class:`~defectlib.settings.DenoiserTraining`."""

    steps: int = Field(ge=1)
    batch: int = Field(16, ge=1)
    lr: float = Field(1e-3, gt=0)
    lr_schedule: LrSchedule = "cosine"
    weight_decay: float = Field(2e-3, ge=0)
    ema: float = Field(0.998, gt=0, lt=1)
    mask_weight: float = Field(2.0, gt=0)
    accumulate: int = Field(1, ge=1)
    processes: int = Field(1, ge=1)
    checkpoint_every: int = Field(250, ge=1)
    samples_every: int = Field(0, ge=0)
    tensorboard: bool = False


class OwnBudget(Settings):
    """What the user's own defects get: training at native scale, on crops."""

    crop: int = Field(64, ge=32)  # pixels a side, of training crops and of synthetic pairs
    large: NetBudget
    small: NetBudget
    count: int = Field(100, ge=1)  # synthetic pairs
    segmenter_steps: int = Field(ge=1)
    seeds: tuple[int, ...] = (0, 1, 2)  # of the baseline: one training tells nothing


class OracleBudget(Settings):
    """How an oracle is trained: fields of :class:`~defectlib.settings.OracleTraining`."""

    scenes: int = Field(4000, ge=1)
    unseen: int = Field(500, ge=1)
    width: int = Field(16, ge=4)
    levels: int = Field(4, ge=2)
    steps: int = Field(ge=1)
    batch: int = Field(16, ge=2)


class ClickerBudget(Settings):
    """How Defect-Click is trained, fields of :class:`~defectlib.settings.ClickerTraining`, and how it is measured."""

    products: tuple[str, ...] = ("softgel", "washer", "twill", "brushed_plate")
    sizes: tuple[int, ...] = (64, 128, 256)
    scenes: int = Field(1200, ge=1)
    widths: tuple[int, int, int, int] = (16, 32, 80, 128)
    depths: tuple[int, int, int, int] = (1, 1, 1, 1)
    crop: int = Field(96, ge=32)
    steps: int = Field(ge=1)
    trial_steps: int = Field(ge=1)  # of one that is trained to be measured on a product it has not seen
    batch: int = Field(8, ge=1)
    lr: float = Field(2e-3, gt=0)
    checkpoint_every: int = Field(250, ge=1)
    clicks: int = Field(20, ge=1)  # of the simulated annotator, on each defect at most
    images: int | None = Field(None, ge=1)  # held out, that are clicked on; None: all
    size: int = Field(128, ge=32, le=512)  # pixels a side, of the images that are clicked on


class RivalBudget(Settings):
    """How one of the other generators is trained: fields of :class:`~defectlib.settings.RivalTraining`."""

    steps: int = Field(ge=1)
    batch: int = Field(1, ge=1)
    channels: int = Field(32, ge=4)
    lr: float = Field(2e-4, gt=0)
    checkpoint_every: int = Field(250, ge=1)


class RivalBudgets(Settings):
    """How the generators that the paper compares with are trained; ``one``: on a single image, to see that they can."""

    singan: RivalBudget
    sindiffusion: NetBudget
    cyclegan: RivalBudget
    cyclegan_one: RivalBudget
    ddpm_one: NetBudget


#: SinDiffusion's field of view, as a share of the image's side: that of its authors' net is 101 px, at 256 px.
SINDIFFUSION_FIELD = 101 / 256


class MemorisationBudget(Settings):
    """The nets that are asked what they memorise: on how many images, with which fields, all trained alike."""

    size: int = Field(32, ge=32, le=512)  # pixels a side
    shots: tuple[int, ...]  # training images per defect type
    fields: tuple[int, ...]  # receptive fields of small nets, pixels; the large net comes after them
    channels: int = Field(32, ge=8)  # of every small net
    net: NetBudget
    pairs: int = Field(ge=2)  # per net
    # Those of them, as (shots, field), that a notebook makes without being asked for all; None: all. No field: large.
    cells: tuple[tuple[int, int | None], ...] | None = None
    density_steps: int = Field(3000, ge=1)  # of the nets of Figure 3


class WatchedBudget(Settings):
    """The net whose samples are shown while it learns: of small images, so that a page need not wait long for it."""

    size: int = Field(32, ge=32, le=512)  # pixels a side
    net: NetBudget
    at: tuple[Annotated[int, Field(ge=1)], ...]  # steps after which it samples


class ControlBudget(Settings):
    """What synthetic pairs are held against, all of it in equal number, and the baseline that is asked."""

    model: str = "UNet"
    product: str = "softgel"  # the one whose rivals come with the package
    switch_steps: tuple[int, ...] | None = None  # u of the pairs; None: the profile's
    rivals: tuple[Literal["CycleGAN", "SinGAN", "SinDiffusion"], ...] = ("CycleGAN", "SinGAN", "SinDiffusion")


class SpeedBudget(Settings):
    """The networks whose latency and throughput are measured, and how long that may take."""

    models: tuple[str, ...] = tuple(MODEL_NAMES)
    size: int = Field(256, ge=32, le=512)  # pixels a side of the one image
    rounds: int = Field(12, ge=2)
    full_denoisers: bool = True  # where throughput is timed, the paper's own denoisers, and not this profile's


class Profile(Settings):
    """A profile's values; see ``notebooks/profiles/``."""

    name: str
    products: tuple[str, ...]  # of the embedded dataset, those with trained generators first
    size: int = Field(64, ge=32, le=512)  # pixels a side
    shots: int = Field(5, ge=1)  # training images per defect type
    eval_count: int = Field(200, ge=1)  # held-out images
    large_net: LargeNet = LargeNet()
    small_channels: int = Field(32, ge=8)  # of small nets with two resolutions or more
    patch_channels: int = Field(48, ge=8)  # of small nets with one resolution
    receptive_field: int = 45  # pixels a side, of the small net
    receptive_fields: tuple[int, ...] = (17, 45)  # of the small nets in the playground
    large: NetBudget
    small: NetBudget
    patch: NetBudget  # small nets with one resolution
    switch_step: int = 400  # u
    switch_steps: tuple[int, ...] = (0, 200, 400, 600, 800, 1000)
    num_inference_steps: int = Field(50, ge=1)
    sampler: Sampler = "ddim"
    # Network calls that are compared, by sampler; those with more than `measured_calls` are timed and not measured.
    network_calls: dict[Sampler, tuple[Annotated[int, Field(ge=2, le=T)], ...]]
    measured_calls: int = Field(T, ge=2)
    gallery: int = Field(24, ge=1)  # synthetic pairs per point of a curve
    synthetic: int = Field(100, ge=1)  # synthetic pairs that train a baseline
    models: tuple[str, ...] = tuple(MODEL_NAMES)
    pretrained: bool = False  # encoders start from ImageNet weights, where there are any
    boosted: tuple[str, ...] = ("DL", "M-B0")  # those trained with more and more synthetic pairs
    ratios: tuple[Annotated[int, Field(ge=0)], ...] = (0, 20, 50, 100, 200, 300)  # synthetic pairs in % of real images
    controls: ControlBudget = ControlBudget()
    segmenter_steps: int = Field(ge=1)
    segmenter_batch: int = Field(8, ge=1)
    segmenter_lr: float = Field(1e-3, gt=0)
    seeds: tuple[int, ...] = (0,)  # of segmenters
    oracle: OracleBudget  # of the segmenter that judges pairs of embedded products
    clicker: ClickerBudget
    rivals: RivalBudgets
    memorisation: MemorisationBudget
    watched: WatchedBudget
    speed: SpeedBudget
    own: OwnBudget
    retrain: bool = False  # train also what comes with the package
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    # From a profile to the settings of stages ------------------------------------------------------------------------

    def data(self, product: str) -> Data:
        """A product at this profile's size: of the embedded dataset, or DATASET/PRODUCT of a published one."""
        dataset, slash, name = product.rpartition("/")
        if slash:
            return published_data(dataset, name, size=self.size, shots=self.shots)
        return parse(
            EmbeddedData,
            {"product": product, "size": self.size, "shots": self.shots, "eval_count": self.eval_count},
        )

    def large_training(self, data: Data) -> DenoiserTraining:
        """The large net on embedded or whole images."""
        return self._denoiser(data, self.large_net, self.large)

    def small_training(self, data: Data, receptive_field: int | None = None) -> DenoiserTraining:
        """A small net by its receptive field in pixels; by default this profile's."""
        field = self.receptive_field if receptive_field is None else receptive_field
        return self._denoiser(data, self.small_net(field), self.patch if field <= 25 else self.small)

    def small_net(self, receptive_field: int) -> SmallNet:
        """The small net of that receptive field: nets with one resolution are cheap enough to be wider."""
        channels = self.patch_channels if receptive_field <= 25 else self.small_channels
        return SmallNet(receptive_field=receptive_field, channels=channels)

    def watched_training(self, product: str) -> DenoiserTraining:
        """A large net on small images of a product, which keeps samples from the same noise as it learns."""
        data = self.model_copy(update={"size": self.watched.size}).data(product)
        return self._denoiser(data, self.large_net, self.watched.net, samples_at=self.watched.at)

    def _denoiser(self, data: Data, net: Net, budget: NetBudget, **others: Any) -> DenoiserTraining:
        values = {"data": data, "net": net, **others, "retrain": self.retrain, **budget.model_dump(), **self.machine}
        return parse(DenoiserTraining, values)

    def synthesis(
        self,
        data: Data,
        *,
        switch_step: int | None = None,
        receptive_field: int | None = None,
        count: int | None = None,
    ) -> Synthesis:
        """A synthetic set from this profile's nets."""
        values = {
            "large": self.large_training(data),
            "small": self.small_training(data, receptive_field),
            "switch_step": self.switch_step if switch_step is None else switch_step,
            "num_inference_steps": self.num_inference_steps,
            "sampler": self.sampler,
            "count": self.gallery if count is None else count,
            **self.machine,
        }
        return parse(Synthesis, values)

    def sampler_timing(self, data: Data, points: tuple[tuple[Sampler, int], ...]) -> SamplerTiming:
        """The speed of this profile's nets on this machine, with each sampler and number of network calls."""
        values = {
            "large": self.large_training(data),
            "small": self.small_training(data),
            "points": points,
            "machine": machine(),
            "switch_step": self.switch_step,
            **self.machine,
        }
        return parse(SamplerTiming, values)

    def released(self, synthetic: Synthesis) -> ReleasedSynthesis:
        """The same nets, noise, and number of calls, along the path of the released code."""
        return parse(ReleasedSynthesis, dict(synthetic))

    def fidelity(self, synthetic: Synthesis | RivalSynthesis) -> Fidelity | RivalFidelity:
        """The measures of a synthetic set."""
        if isinstance(synthetic, RivalSynthesis):
            return RivalFidelity(synthetic=synthetic)
        kind = ReleasedFidelity if isinstance(synthetic, ReleasedSynthesis) else Fidelity
        return kind(synthetic=synthetic)

    def oracle_training(self, data: Data) -> OracleTraining | None:
        """The judge of an embedded product at its size; there is none for other data."""
        if not isinstance(data, EmbeddedData):
            return None
        of_data = {"product": data.product, "size": data.size, "retrain": self.retrain}
        return parse(OracleTraining, {**of_data, **self.oracle.model_dump(), **self.machine})

    def judgement(self, synthetic: Synthesis | RivalSynthesis) -> Judgement:
        """What networks see in a synthetic set."""
        kind = RivalJudgement if isinstance(synthetic, RivalSynthesis) else Judgement
        return kind(synthetic=synthetic, oracle=self.oracle_training(synthetic.data))

    def sindiffusion(self, data: Data, image: int) -> DenoiserTraining:
        """SinDiffusion: a small net that is trained on one image (see :mod:`defectlib.rivals.sindiffusion`)."""
        field = min(RECEPTIVE_FIELDS, key=lambda known: abs(known - SINDIFFUSION_FIELD * self.size))
        return self._denoiser(data, self.small_net(field), self.rivals.sindiffusion, image=image)

    def ddpm_one(self, data: Data, image: int) -> DenoiserTraining:
        """The large net on one image."""
        return self._denoiser(data, self.large_net, self.rivals.ddpm_one, image=image)

    def alone(self, net: DenoiserTraining, count: int | None = None) -> Synthesis:
        """A synthetic set from one net alone."""
        values = {
            "large": net,
            "small": net,
            "switch_step": T if isinstance(net.net, SmallNet) else 0,
            "num_inference_steps": self.num_inference_steps,
            "sampler": self.sampler,
            "count": self.gallery if count is None else count,
            **self.machine,
        }
        return parse(Synthesis, values)

    def memorising(self, product: str, shots: int, receptive_field: int | None) -> Synthesis:
        """A synthetic set from one net alone, the large one or a small one, that was trained on so many images."""
        budget = self.memorisation
        data = self.model_copy(update={"size": budget.size, "shots": shots}).data(product)
        small = receptive_field and SmallNet(receptive_field=receptive_field, channels=budget.channels)
        return self.alone(self._denoiser(data, small or self.large_net, budget.net), budget.pairs)

    def rival_training(self, data: Data, method: RivalMethod, image: int | None = None) -> RivalTraining:
        """SinGAN or CycleGAN, on all training images or on one."""
        one = "_one" if method == "CycleGAN" and image is not None else ""
        budget: RivalBudget = getattr(self.rivals, method.lower() + one)
        of_data = {"data": data, "method": method, "image": image, "retrain": self.retrain}
        # Always in full precision: what two adversaries are told are small differences, and neither net is large.
        return parse(RivalTraining, {**of_data, **budget.model_dump(), **self.machine, "dtype": "fp32"})

    def rival_synthesis(self, rival: RivalTraining, count: int | None = None) -> RivalSynthesis:
        """A synthetic set from SinGAN or CycleGAN."""
        values = {"rival": rival, "count": self.gallery if count is None else count, "device": self.machine["device"]}
        return parse(RivalSynthesis, values)

    def evaluation(
        self,
        data: Data,
        model: str,
        synthetic: Synthesis | RivalSynthesis | None = None,
        seed: int = 0,
        *,
        pairs: int | None = None,
        augmented: bool = True,
    ) -> Evaluation:
        """A baseline trained on real images, and on synthetic ones where given, and evaluated on held-out ones.

        Of the synthetic pairs it sees the first ``pairs``; None: all.
        """
        whole = synthetic is not None and pairs == synthetic.count  # one training has one name
        values = {
            "data": data,
            "model": model,
            "synthetic": synthetic,
            "pretrained": self.pretrained and model in PRETRAINABLE,
            "lr": self.segmenter_lr * LEARNING_RATES.get(model, 1.0),
            "pairs": None if whole else pairs,
            "augmented": augmented,
            "steps": self.segmenter_steps,
            "batch": self.segmenter_batch,
            "seed": seed,
            **self.machine,
        }
        return Evaluation(segmenter=parse(SegmenterTraining, values), native=isinstance(data, PublishedData))

    def segmenter_timing(self, product: str) -> SegmenterTiming:
        """The latency of the baselines on this machine, for an image of a product."""
        budget = self.speed
        data = self.model_copy(update={"size": budget.size, "shots": 1}).data(product)
        values = {"data": data, "models": budget.models, "rounds": budget.rounds, "machine": machine(), **self.machine}
        return parse(SegmenterTiming, values)

    def clicker_training(
        self,
        leave_out: str | None = None,
        *,
        many_domains: bool = True,
        multi_level: bool = True,
        edge_sensitive: bool = True,
    ) -> ClickerTraining:
        """Defect-Click, by default as it comes with the package.

        Args:
            leave_out: A product that it shall not have seen.
            many_domains: It learns from all other products and from imagined defects, else from the first product
                alone, on as many scenes.
            multi_level: See :class:`~defectlib.settings.ClickerTraining`.
            edge_sensitive: Likewise.

        Raises:
            UserError: It learns from no such product.
        """
        values = self.clicker.model_dump(exclude={"trial_steps", "clicks", "images", "size"})
        if leave_out is not None:
            if leave_out not in self.clicker.products:
                raise unknown("product to leave out", leave_out, self.clicker.products)
            values["products"] = tuple(product for product in self.clicker.products if product != leave_out)
            values["steps"] = self.clicker.trial_steps
        if not many_domains:
            values |= {"products": values["products"][:1], "imagined": False}
        switches = {"multi_level": multi_level, "edge_sensitive": edge_sensitive}
        return parse(ClickerTraining, {**values, **switches, "retrain": self.retrain, **self.machine})

    def clicking(self, data: Data, method: ClickMethod, clicker: ClickerTraining | None = None) -> Clicking:
        """The clicks of a simulated annotator with one method; Defect-Click is this profile's, if none is given."""
        if method == "Defect-Click" and clicker is None:
            clicker = self.clicker_training()
        budget = {"clicks": self.clicker.clicks, "images": self.clicker.images}
        return parse(Clicking, {"data": data, "method": method, "clicker": clicker, **budget})

    def own_synthesis(
        self, data: Data, count: int | None = None, size: int | None = None, switch_step: int | None = None
    ) -> Synthesis:
        """A synthetic set for the user's own defects, from nets trained on crops at native scale.

        Pairs are as large as the crops, or ``size`` pixels a side: the nets fit any canvas.
        """
        own = self.own
        crop = {"crop": own.crop, "crop_by": "defect"}
        return parse(
            Synthesis,
            {
                "large": self._denoiser(data, self.large_net, own.large, **crop),
                "small": self._denoiser(data, self.small_net(self.receptive_field), own.small, **crop),
                "switch_step": self.switch_step if switch_step is None else switch_step,
                "num_inference_steps": self.num_inference_steps,
                "sampler": self.sampler,
                "count": own.count if count is None else count,
                "size": own.crop if size is None else size,
                **self.machine,
            },
        )

    def own_evaluation(self, data: Data, model: str, synthetic: Synthesis | None, seed: int = 0) -> Evaluation:
        """A baseline on the user's own defects: trained on crops, evaluated by sliding window at native size."""
        base = self.evaluation(data, model, synthetic, seed).segmenter
        steps, crop = self.own.segmenter_steps, self.own.crop
        return Evaluation(segmenter=base.model_copy(update={"steps": steps, "crop": crop}))

    @property
    def machine(self) -> dict[str, str]:
        """Device and arithmetic, resolved: they enter the key of what is trained."""
        device = _has_cuda() if self.device == "auto" else self.device
        precision = _has_bf16(device) if self.precision == "auto" else self.precision
        return {"device": device, "dtype": precision}


def load_profile(name: str, **overrides: Any) -> Profile:
    """The profile called ``name``, or the one in a YAML file, with parameters over it.

    A file of your own names the profile whose values it changes, and those values: ``base: cpu``, then for example
    ``own: {segmenter_steps: 2000}``. The values within a table are changed one by one.

    Args:
        name: ``smoke``, ``cpu``, ``gpu``, or the path of a file that ends in ``.yaml``.
        overrides: Parameters; one that is None keeps the profile's value.

    Raises:
        UserError: No such profile or file, or a value in it is not valid.
    """
    values = _values(path_of(name)) if name.endswith(".yaml") else _known_values(name)
    given = {field: value for field, value in overrides.items() if value is not None}
    return parse(Profile, {**values, "name": Path(name).stem, **given})


def _known_values(name: str) -> dict[str, Any]:
    known = [file.stem for file in PROFILES.glob("*.yaml")]
    if name not in known:
        raise unknown("profile", name, known)
    return _read(PROFILES / f"{name}.yaml")


def _values(path: Path) -> dict[str, Any]:
    """The values of a profile in a file of the user's, over those of its base."""
    own = _read(path)
    base = own.pop("base", None)
    if not isinstance(base, str):
        raise UserError(f"{path}: name the profile whose values it changes, such as 'base: cpu'")
    return _changed(_known_values(base), own)


def _changed(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    tables = {name: _changed(base[name], value) for name, value in own.items() if _both_tables(base.get(name), value)}
    return {**base, **own, **tables}


def _both_tables(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)


def _read(path: Path) -> dict[str, Any]:
    values = read_yaml(path) or {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: must be a table of settings, such as 'base: cpu'; write it so")
    return values


# Asking the machine without loading torch: a plan must be cheap to make ----------------------------------------------


@cache
def _has_cuda() -> str:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu"
    return "cuda" if Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia/version").exists() else "cpu"


@cache
def _has_bf16(device: str) -> str:
    if device == "cuda":
        return "bf16"
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "fp32"
    return "bf16" if "avx512_bf16" in flags else "fp32"
