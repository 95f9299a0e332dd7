"""Profiles: one YAML file that says how much of everything a run may cost. Loads no torch.

A value's origin, weakest first: defaults here < ``notebooks/profiles/NAME.yaml`` < a file of your own < a notebook's
or command's parameter. A profile makes the settings of stages, so what two notebooks ask for under one profile is one
artifact.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    BaseData,
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
    Net,
    OracleTraining,
    Pairs,
    PastedPairs,
    PublishedData,
    RivalMethod,
    RivalSynthesis,
    RivalTraining,
    Sampler,
    SamplerTiming,
    SegmenterTiming,
    SegmenterTraining,
    Settings,
    SmallNet,
    Stage,
    Synthesis,
    T,
    parse,
    part,
)

PROFILES = REPOSITORY / "notebooks" / "profiles"
#: SinDiffusion's field of view, as a share of the image's side: that of its authors' net is 101 px, at 256 px.
SINDIFFUSION_FIELD = 101 / 256

# Some of a stage's settings, which :meth:`Profile.stage` completes.
Denoiser, Segmenter, Oracle, Clicker, Rival = map(
    part, (DenoiserTraining, SegmenterTraining, OracleTraining, ClickerTraining, RivalTraining)
)


class Base(Settings):
    """How the nets are trained that few images start from; see :class:`~defectlib.settings.BaseData`."""

    size: int = Field(64, ge=32, le=512)  # pixels a side
    count: int = Field(2000, ge=8)  # images
    large: Denoiser
    small: Denoiser


class Own(Settings):
    """What the user's own defects get: training on crops, from a base."""

    crop: int | None = Field(None, ge=32)  # pixels a side, of training crops and of synthetic pairs; None: as data ask
    base: Base | None = None  # None: nets start from random weights
    large: Denoiser
    small: Denoiser
    switch_step: int | None = Field(None, ge=0, le=T)  # u; None: the profile's
    count: int = Field(100, ge=1)  # synthetic pairs
    segmenter: Segmenter
    seeds: tuple[int, ...] = (0, 1, 2)  # of the baseline: one training tells nothing
    example_steps: int | None = Field(None, ge=1)  # of each net, for the book's example folder; None: as above
    example_seeds: tuple[int, ...] | None = None  # the same, of the baseline


class Annotator(Settings):
    """How Defect-Click and others are measured: the simulated annotator's clicks."""

    trial_steps: int = Field(ge=1)  # of a Defect-Click that is trained to be measured on a product it has not seen
    clicks: int = Field(20, ge=1)  # on each defect at most
    images: int | None = Field(None, ge=1)  # held out, that are clicked on; None: all
    size: int = Field(128, ge=32, le=512)  # pixels a side, of the images that are clicked on


class Rivals(Settings):
    """How the generators that the paper compares with are trained; ``one``: on a single image, to see that they can."""

    singan: Rival
    sindiffusion: Denoiser
    cyclegan: Rival
    cyclegan_one: Rival
    ddpm_one: Denoiser


class Memorisation(Settings):
    """The nets that are asked what they memorise: on how many images, with which fields, all trained alike."""

    size: int = Field(32, ge=32, le=512)  # pixels a side
    shots: tuple[int, ...]  # training images per defect type
    fields: tuple[int, ...]  # receptive fields of small nets, pixels; the large net comes after them
    channels: int = Field(32, ge=8)  # of every small net
    net: Denoiser
    pairs: int = Field(ge=2)  # per net
    # Those of them, as (shots, field), that a notebook makes without being asked for all; None: all. No field: large.
    cells: tuple[tuple[int, int | None], ...] | None = None
    density_steps: int = Field(3000, ge=1)  # of the nets of Figure 3


class Watched(Settings):
    """The net whose samples are shown while it learns: of small images, so that a page need not wait long for it."""

    size: int = Field(32, ge=32, le=512)  # pixels a side
    net: Denoiser
    at: tuple[Annotated[int, Field(ge=1)], ...]  # steps after which it samples


class Controls(Settings):
    """What synthetic pairs are held against, all of it in equal number, and the baseline that is asked."""

    model: str = "UNet"
    product: str = "softgel"  # the one whose rivals come with the package
    switch_steps: tuple[int, ...] | None = None  # u of the pairs; None: the profile's
    rivals: tuple[Literal["CycleGAN", "SinGAN", "SinDiffusion"], ...] = ("CycleGAN", "SinGAN", "SinDiffusion")
    steps: int | None = Field(None, ge=1)  # of the baseline's training; None: the profile's


class Speed(Settings):
    """The networks whose latency and throughput are measured, and how long that may take."""

    models: tuple[str, ...] = tuple(MODEL_NAMES)
    size: int = Field(256, ge=32, le=512)  # pixels a side of the one image
    rounds: int = Field(12, ge=2)
    full_denoisers: bool = True  # where throughput is timed, the paper's own denoisers, and not this profile's


class Profile(Settings):
    """A profile's values; see ``notebooks/profiles/``. Tables named as a kind of stage hold some of its settings."""

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
    large: Denoiser
    small: Denoiser
    patch: Denoiser  # small nets with one resolution
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
    controls: Controls = Controls()
    segmenter: Segmenter
    seeds: tuple[int, ...] = (0,)  # of segmenters
    oracle: Oracle  # the segmenter that judges pairs of embedded products
    clicker: Clicker
    annotator: Annotator
    rivals: Rivals
    memorisation: Memorisation
    watched: Watched
    speed: Speed
    own: Own
    retrain: bool = False  # train also what comes with the package
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    # From a profile to the settings of stages ------------------------------------------------------------------------

    @property
    def machine(self) -> dict[str, str]:
        """Device and arithmetic, resolved: they enter the key of what is trained."""
        device = _has_cuda() if self.device == "auto" else self.device
        precision = _has_bf16(device) if self.precision == "auto" else self.precision
        return {"device": device, "dtype": precision}

    def stage(self, kind: type[Stage], table: Mapping[str, Any] | None = None, **over: Any) -> Any:
        """Settings of a stage: what this profile says of every one (device, arithmetic, u, …), ``table``, ``over``."""
        common = self.machine | {
            name: getattr(self, name) for name in ("retrain", "switch_step", "num_inference_steps", "sampler")
        }
        known = {name: value for name, value in common.items() if name in kind.model_fields}
        return parse(kind, {**known, **(table or {}), **over})

    def data(self, product: str, **over: Any) -> Data:
        """A product at this profile's size: of the embedded dataset, or DATASET/PRODUCT of a published one."""
        dataset, slash, name = product.rpartition("/")
        values = {"size": self.size, "shots": self.shots} | over
        if slash:
            return published_data(dataset, name, **values)
        return parse(EmbeddedData, {"product": product, "eval_count": self.eval_count, **values})

    # Defect-Gen

    def denoiser(self, data: Data, net: Net, table: Mapping[str, Any], **over: Any) -> DenoiserTraining:
        """One of the nets, trained as ``table`` says."""
        return self.stage(DenoiserTraining, table, data=data, net=net, **over)

    def large_training(self, data: Data) -> DenoiserTraining:
        """The large net on embedded or whole images."""
        return self.denoiser(data, self.large_net, self.large)

    def small_training(self, data: Data, receptive_field: int | None = None) -> DenoiserTraining:
        """A small net by its receptive field in pixels; by default this profile's."""
        field = self.receptive_field if receptive_field is None else receptive_field
        return self.denoiser(data, self.small_net(field), self.patch if field <= 25 else self.small)

    def small_net(self, receptive_field: int) -> SmallNet:
        """The small net of that receptive field: nets with one resolution are cheap enough to be wider."""
        channels = self.patch_channels if receptive_field <= 25 else self.small_channels
        return SmallNet(receptive_field=receptive_field, channels=channels)

    def watched_training(self, product: str) -> DenoiserTraining:
        """A large net on small images of a product, which keeps samples from the same noise as it learns."""
        data = self.data(product, size=self.watched.size)
        return self.denoiser(data, self.large_net, self.watched.net, samples_at=self.watched.at)

    def _pairs(self, large: DenoiserTraining, small: DenoiserTraining, **over: Any) -> Synthesis:
        asked = {"count": self.gallery} | {name: value for name, value in over.items() if value is not None}
        return self.stage(Synthesis, large=large, small=small, **asked)

    def synthesis(
        self,
        data: Data,
        *,
        switch_step: int | None = None,
        receptive_field: int | None = None,
        count: int | None = None,
    ) -> Synthesis:
        """A synthetic set from this profile's nets."""
        small = self.small_training(data, receptive_field)
        return self._pairs(self.large_training(data), small, switch_step=switch_step, count=count)

    def alone(self, net: DenoiserTraining, count: int | None = None) -> Synthesis:
        """A synthetic set from one net alone."""
        return self._pairs(net, net, switch_step=T if isinstance(net.net, SmallNet) else 0, count=count)

    def released(self, synthetic: Synthesis) -> Synthesis:
        """The same nets, noise, and number of calls, along the path of the released code."""
        return parse(Synthesis, {**dict(synthetic), "path": "release"})

    def own_synthesis(
        self, data: Data, count: int | None = None, size: int | None = None, switch_step: int | None = None
    ) -> Synthesis:
        """A synthetic set for the user's own defects, from nets that go on from the base on crops.

        Pairs are as large as the crops, or ``size`` pixels a side: the nets fit any canvas.
        """
        own, alike = self.own, {"flips": True, "gray_noise": True}

        def training(net: Net, table: Mapping[str, Any], of_base: Mapping[str, Any]) -> DenoiserTraining:
            base = None
            if own.base:
                painted = BaseData(size=own.base.size, count=own.base.count)
                base = self.denoiser(painted, net, of_base, **alike)
            return self.denoiser(data, net, table, crop=own.crop, crop_by="defect", base=base, **alike)

        large_net = self.large_net.model_copy(update={"padding": "reflect"})
        small_net = self.small_net(self.receptive_field).model_copy(update={"padding": "reflect", "prediction": "v"})
        large = training(large_net, own.large, own.base.large if own.base else {})
        small = training(small_net, own.small, own.base.small if own.base else {})
        u = own.switch_step if switch_step is None else switch_step
        count, size = own.count if count is None else count, own.crop if size is None else size
        return self._pairs(large, small, switch_step=u, count=count, size=size)

    def pasted(self, data: Data, count: int, size: int) -> PastedPairs:
        """Real defects pasted elsewhere, on crops of ``size`` pixels a side."""
        return PastedPairs(data=data, count=count, size=size)

    def memorising(self, product: str, shots: int, receptive_field: int | None) -> Synthesis:
        """A synthetic set from one net alone, the large one or a small one, that was trained on so many images."""
        asked = self.memorisation
        small = receptive_field and SmallNet(receptive_field=receptive_field, channels=asked.channels)
        data = self.data(product, size=asked.size, shots=shots)
        return self.alone(self.denoiser(data, small or self.large_net, asked.net), asked.pairs)

    def sampler_timing(self, data: Data, points: tuple[tuple[Sampler, int], ...]) -> SamplerTiming:
        """The speed of this profile's nets on this machine, with each sampler and number of network calls."""
        nets = {"large": self.large_training(data), "small": self.small_training(data)}
        return self.stage(SamplerTiming, nets, points=points, machine=machine())

    # Other generators, and what is asked of synthetic pairs

    def sindiffusion(self, data: Data, image: int) -> DenoiserTraining:
        """SinDiffusion: a small net that is trained on one image (see :mod:`defectlib.rivals.sindiffusion`)."""
        field = min(RECEPTIVE_FIELDS, key=lambda known: abs(known - SINDIFFUSION_FIELD * self.size))
        return self.denoiser(data, self.small_net(field), self.rivals.sindiffusion, image=image)

    def ddpm_one(self, data: Data, image: int) -> DenoiserTraining:
        """The large net on one image."""
        return self.denoiser(data, self.large_net, self.rivals.ddpm_one, image=image)

    def rival_training(self, data: Data, method: RivalMethod, image: int | None = None) -> RivalTraining:
        """SinGAN or CycleGAN, on all training images or on one."""
        one = "_one" if method == "CycleGAN" and image is not None else ""
        table = getattr(self.rivals, method.lower() + one)
        # Always in full precision: what two adversaries are told are small differences, and neither net is large.
        return self.stage(RivalTraining, table, data=data, method=method, image=image, dtype="fp32")

    def rival_synthesis(self, rival: RivalTraining, count: int | None = None) -> RivalSynthesis:
        """A synthetic set from SinGAN or CycleGAN."""
        return self.stage(RivalSynthesis, rival=rival, count=self.gallery if count is None else count)

    def fidelity(self, synthetic: Synthesis | RivalSynthesis) -> Fidelity:
        """The measures of a synthetic set."""
        return Fidelity(synthetic=synthetic)

    def oracle_training(self, data: Data) -> OracleTraining | None:
        """The judge of an embedded product at its size; there is none for other data."""
        if not isinstance(data, EmbeddedData):
            return None
        return self.stage(OracleTraining, self.oracle, product=data.product, size=data.size)

    def judgement(self, synthetic: Synthesis | RivalSynthesis) -> Judgement:
        """What networks see in a synthetic set."""
        return Judgement(synthetic=synthetic, oracle=self.oracle_training(synthetic.data))

    # Baselines

    def evaluation(
        self,
        data: Data,
        model: str,
        synthetic: Pairs | None = None,
        seed: int = 0,
        *,
        pairs: int | None = None,
        **over: Any,
    ) -> Evaluation:
        """A baseline trained on real images, and on synthetic ones where given, and evaluated on held-out ones.

        Of the synthetic pairs it sees the first ``pairs``; None: all. ``over``: of the training's settings.
        """
        whole = synthetic is not None and pairs == synthetic.count  # one training has one name
        rate = self.segmenter.get("lr", SegmenterTraining.model_fields["lr"].default) * LEARNING_RATES.get(model, 1.0)
        given = {"model": model, "synthetic": synthetic, "pairs": None if whole else pairs, "seed": seed, "lr": rate}
        given["pretrained"] = self.pretrained and model in PRETRAINABLE
        trained = self.stage(SegmenterTraining, self.segmenter, data=data, **given, **over)
        return Evaluation(segmenter=trained, native=isinstance(data, PublishedData))

    def own_evaluation(
        self, data: Data, model: str, synthetic: Pairs | None, seed: int = 0, every: int = 1
    ) -> Evaluation:
        """A baseline on the user's own defects: trained on crops, evaluated by sliding window at native size."""
        base = self.model_copy(update={"segmenter": self.segmenter | self.own.segmenter})
        return base.evaluation(data, model, synthetic, seed, crop=self.own.crop, every=every)

    def segmenter_timing(self, product: str) -> SegmenterTiming:
        """The latency of the baselines on this machine, for an image of a product."""
        data = self.data(product, size=self.speed.size, shots=1)
        given = {"models": self.speed.models, "rounds": self.speed.rounds, "machine": machine()}
        return self.stage(SegmenterTiming, data=data, **given)

    # Defect-Click

    def clicker_training(
        self, leave_out: str | None = None, *, many_domains: bool = True, **switches: bool
    ) -> ClickerTraining:
        """Defect-Click, by default as it comes with the package.

        Args:
            leave_out: A product that it shall not have seen.
            many_domains: It learns from all other products and from imagined defects, else from the first product
                alone, on as many scenes.
            switches: ``multi_level`` and ``edge_sensitive``; see :class:`~defectlib.settings.ClickerTraining`.

        Raises:
            UserError: It learns from no such product.
        """
        products, over = self.clicker["products"], {}
        if leave_out is not None:
            if leave_out not in products:
                raise unknown("product to leave out", leave_out, products)
            products = tuple(product for product in products if product != leave_out)
            over["steps"] = self.annotator.trial_steps
        if not many_domains:
            products, over["imagined"] = products[:1], False
        return self.stage(ClickerTraining, self.clicker, products=products, **over, **switches)

    def clicking(self, data: Data, method: ClickMethod, clicker: ClickerTraining | None = None) -> Clicking:
        """The clicks of a simulated annotator with one method; Defect-Click is this profile's, if none is given."""
        if method == "Defect-Click" and clicker is None:
            clicker = self.clicker_training()
        asked = {"clicks": self.annotator.clicks, "images": self.annotator.images}
        return self.stage(Clicking, asked, data=data, method=method, clicker=clicker)


def load_profile(name: str, **overrides: Any) -> Profile:
    """The profile called ``name``, or the one in a YAML file, with parameters over it.

    A file of your own names the profile whose values it changes, and those values: ``base: cpu``, then for example
    ``own: {segmenter: {steps: 2000}}``. The values within a table are changed one by one.

    Args:
        name: ``smoke``, ``cpu``, ``gpu``, or the path of a file that ends in ``.yaml``.
        overrides: Parameters; one that is None keeps the profile's value.

    Raises:
        UserError: No such profile or file, or a value in it is not valid.
    """
    values = _of_file(path_of(name)) if name.endswith(".yaml") else _known(name)
    given = {field: value for field, value in overrides.items() if value is not None}
    return parse(Profile, {**values, "name": Path(name).stem, **given})


def _known(name: str) -> dict[str, Any]:
    known = [file.stem for file in PROFILES.glob("*.yaml")]
    if name not in known:
        raise unknown("profile", name, known)
    return _read(PROFILES / f"{name}.yaml")


def _of_file(path: Path) -> dict[str, Any]:
    """The values of a profile in a file of the user's, over those of its base."""
    own = _read(path)
    base = own.pop("base", None)
    if not isinstance(base, str):
        raise UserError(f"{path}: name the profile whose values it changes, such as 'base: cpu'")
    return _over(_known(base), own)


def _over(base: Any, own: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(own, dict)):
        return own
    return base | {name: _over(base.get(name), value) for name, value in own.items()}


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
