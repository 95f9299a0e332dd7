"""Settings of every stage: frozen, validated, and hashed into the key of the artifact they lead to. Loads no torch.

A stage's settings hold the settings of the stages it needs, so one object describes a result down to its data, and
its key can be computed with nothing built and no data present:

    key = H(stage name, stage version, own fields that are not at their default, keys of the inputs)

Fields at their default stay out of the hash: a field added later orphans no artifact. A stage's ``version`` is
bumped by hand when its code starts to give other results.
"""

from __future__ import annotations

import hashlib
import json
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializeAsAny,
    Tag,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from defectlib.errors import UserError, shown, unknown

Device = Literal["cpu", "cuda"]
Dtype = Literal["fp32", "bf16"]

T = 1000
"""Timesteps of the forward process: what t, and the switch step u, are counted in."""


class Settings(BaseModel):
    """A frozen record of values; unknown keys are rejected with the nearest valid name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    unhashed: ClassVar[frozenset[str]] = frozenset()  # fields that change nothing in the result
    versions: ClassVar[dict[str, int]] = {}  # of code outside the stage that enters the hash, by name

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name, value in values.items():
                if name not in cls.model_fields:
                    raise unknown(f"setting of {cls.__name__}", str(name), cls.model_fields)
                if isinstance(value, int) and abs(value) > 2**53:
                    raise UserError(f"setting '{name}' of {cls.__name__}: no number is beyond 2^53, got {shown(value)}")
        return values

    def identity(self, ignore: frozenset[str] = frozenset()) -> dict[str, Any]:
        """What enters the hash: every field that is not at its default, and always ``kind``, less ``ignore``."""
        fields = {
            name: _identity(getattr(self, name), ignore)
            for name, field in type(self).model_fields.items()
            if name not in ignore | self.unhashed and (name == "kind" or getattr(self, name) != field.default)
        }
        return fields | self.versions


class Stage(Settings):
    """Settings that lead to an artifact. Fields that are themselves stages are its inputs."""

    stage: ClassVar[str]
    version: ClassVar[int] = 1
    timed: ClassVar[bool] = False  # its result is a time, so nothing else may run beside it
    #: Fields that say where a result was computed and not what it is; see :meth:`key`.
    machine_fields: ClassVar[frozenset[str]] = frozenset({"device", "dtype"})

    def inputs(self) -> dict[str, Stage]:
        """The stages this one needs, by field name."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in fields.items() if isinstance(value, Stage)}

    def key(self, *, any_machine: bool = False) -> str:
        """16 hexadecimal digits that name the artifact; with ``any_machine`` leaving out where it was computed.

        What is shipped with the package is looked up by the latter, everything else by the former.
        """
        ignore = self.machine_fields if any_machine else frozenset()
        text = json.dumps([self.stage, self.version, self.identity(ignore)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Seeded(Stage):
    """A stage that draws random numbers, on a device."""

    seed: int = 0
    device: Device = "cpu"
    dtype: Dtype = "fp32"


class Training(Seeded):
    """A training that resumes from its checkpoint."""

    unhashed: ClassVar[frozenset[str]] = frozenset({"checkpoint_every"})

    steps: int = Field(ge=1)
    checkpoint_every: int = Field(250, ge=1)  # steps


def _identity(value: Any, ignore: frozenset[str]) -> Any:
    if isinstance(value, Stage):
        return value.key(any_machine=bool(ignore))
    if isinstance(value, Settings):
        return value.identity(ignore)
    if isinstance(value, tuple):
        return [_identity(item, ignore) for item in value]
    return value


# Data ---------------------------------------------------------------------------------------------------------------


#: Bumped when any pixel of the procedural dataset changes.
PAINTER = {"painter_version": 1}


class EmbeddedData(Settings):
    """A product of the procedural dataset: rendered, so its identity is what it was asked for."""

    versions: ClassVar[dict[str, int]] = PAINTER

    kind: Literal["embedded"] = "embedded"
    product: str
    size: int = Field(64, ge=32, le=512)  # pixels a side
    shots: int = Field(5, ge=1, le=10_000)  # training images per defect type (the authors' protocol)
    eval_count: int = Field(200, ge=1, le=100_000)  # held-out images
    seed: int = 0


class FolderData(Settings):
    """A folder in the one dataset layout, and a split of it; its identity is the digest of its content."""

    unhashed: ClassVar[frozenset[str]] = frozenset({"root", "split"})  # the digest says what they hold

    kind: Literal["folder"] = "folder"
    root: Path
    digest: str  # SHA-256 over the split manifest and the content of every file it names
    split: str  # path of the split manifest: below `root`, or absolute
    reduce: int = Field(1, ge=1, le=64)  # images and masks are taken so many times smaller


class PublishedData(Settings):
    """One product of a published dataset, at one size; its identity is what its manifest says, and its files if here.

    So a whole plan can be made without having the data (see :func:`defectlib.data.sources.manifest.published_data`).
    """

    versions: ClassVar[dict[str, int]] = {"reader_version": 2}  # bumped when images or masks are read in another way

    kind: Literal["published"] = "published"
    dataset: str
    product: str
    classes: tuple[str, ...]  # names of the defect types by id from 1, as the manifest has them
    size: int = Field(256, ge=32, le=4096)  # pixels a side, to which images are squashed
    shots: int = Field(5, ge=1)  # training images per defect type, where the publishers divide nothing
    files: str | None = None  # SHA-256 over keys, sizes and times of the product's files; None where they are not here


class BaseData(Settings):
    """What the shipped base is trained on: all embedded products and painted textures, their defects all of one type.

    See :mod:`defectlib.data.procedural.textures`.
    """

    versions: ClassVar[dict[str, int]] = PAINTER | {"textures_version": 1}

    kind: Literal["base"] = "base"
    size: int = Field(64, ge=32, le=512)  # pixels a side
    count: int = Field(2000, ge=8)  # images, of which one in four is of an embedded product
    seed: int = 0


Data = Annotated[EmbeddedData | BaseData | FolderData | PublishedData, Field(discriminator="kind")]


# Defect-Gen ---------------------------------------------------------------------------------------------------------

#: Receptive fields, in pixels a side, that small nets come in; `defectlib.defectgen.denoiser` has their layers.
#: Known here so that a wrong one is told before hours are spent on the large net beside it.
RECEPTIVE_FIELDS = (9, 17, 25, 45, 69, 101, 157)


#: Of a layer of a denoiser; its normalisation has eight groups.
Channels = Annotated[int, Field(ge=8, le=4096, multiple_of=8)]


#: What the convolutions see beyond the border.
Padding = Literal["zeros", "reflect"]
#: What a net's layers predict; either is turned into x_0. ``v`` is of the image alone, the mask stays with x_0. The
#: loss of v at t is that of x_0 by 1 / (1 - ᾱ_t), so grain, which is made near t = 0, counts as much as shape.
Prediction = Literal["x0", "v"]


class LargeNet(Settings):
    """The denoiser p_θ that sees the whole image: several resolutions, attention at the lowest ones."""

    kind: Literal["large"] = "large"
    channels: tuple[Channels, ...] = Field((32, 48, 64, 96), min_length=1)  # per resolution, highest first
    blocks: int = Field(1, ge=1, le=16)  # residual blocks per resolution
    attention: tuple[int, ...] = (2, 3)  # resolutions (0 = highest) with self-attention
    fold: int = Field(2, ge=1, le=16)  # pixel-unshuffle factor: trades resolution for channels before the first layer
    scale_shift: bool = False  # the timestep scales features as well as shifting them, as in the release
    padding: Padding = "zeros"

    @model_validator(mode="after")
    def _attends_where_it_is(self) -> LargeNet:
        if wrong := [level for level in self.attention if not 0 <= level < len(self.channels)]:
            raise UserError(
                f"setting 'attention' names resolution {wrong[0]}, but the large net has 0 to "
                f"{len(self.channels) - 1}; name one of them"
            )
        return self

    def check_side(self, what: str, side: int | None) -> None:
        """Refuse a ``side`` in pixels that does not survive folding and halving at every resolution but the last.

        Raises:
            UserError: It does not; ``what`` says which setting it is.
        """
        multiple = self.fold * 2 ** (len(self.channels) - 1)
        if side is not None and side % multiple:
            raise UserError(f"{what} is {side} px, but the large net needs a multiple of {multiple} px")


class SmallNet(Settings):
    """The denoiser p_φ that sees a patch: no attention, no middle block, no folding."""

    kind: Literal["small"] = "small"
    receptive_field: int = 45  # pixels a side, one of `RECEPTIVE_FIELDS`
    channels: Channels = 32  # at full resolution; doubled at each lower one
    padding: Padding = "zeros"
    prediction: Prediction = "x0"

    @field_validator("receptive_field")
    @classmethod
    def _known_field(cls, field: int) -> int:
        if field not in RECEPTIVE_FIELDS:
            nearest = min(RECEPTIVE_FIELDS, key=lambda known: abs(known - field))
            raise UserError(
                f"no small net has a receptive field of {field} px: the nearest is {nearest}, "
                f"known are {', '.join(map(str, RECEPTIVE_FIELDS))}"
            )
        return field


Net = Annotated[LargeNet | SmallNet, Field(discriminator="kind")]


#: ``cosine``: a short linear rise, then a cosine to zero; ``constant``: neither, as in the release.
LrSchedule = Literal["cosine", "constant"]


#: ``pixel``: one pixel of a defect, which cuts most; ``defect``: a whole defect, where it fits.
CropBy = Literal["pixel", "defect"]


class DenoiserTraining(Training):
    """One of the two denoisers, trained on the training images of ``data``."""

    stage: ClassVar[str] = "denoiser"
    unhashed: ClassVar[frozenset[str]] = Training.unhashed | {"samples_every", "tensorboard"}
    #: How the work is divided is like the device: it changes rounding and nothing else.
    machine_fields: ClassVar[frozenset[str]] = Stage.machine_fields | {"accumulate", "processes"}

    data: Data
    net: Net
    batch: int = Field(16, ge=1)  # images (or crops) per step
    crop: int | None = Field(None, ge=32)  # pixels a side of random training crops; None trains on whole images
    crop_by: CropBy = "pixel"  # what of a defect a crop is placed to hold
    lr: float = Field(1e-3, gt=0)
    lr_schedule: LrSchedule = "cosine"
    weight_decay: float = Field(2e-3, ge=0)
    ema: float = Field(0.998, gt=0, lt=1)  # decay of the averaged weights, which are the ones that sample
    mask_weight: float = Field(2.0, gt=0)  # weight of the mask channels in the loss
    accumulate: int = Field(1, ge=1)  # parts that a batch is worked through in, one after another: saves memory
    processes: int = Field(1, ge=1)  # that share each batch, on CUDA one per GPU: saves time
    samples_every: int = Field(0, ge=0)  # steps between grids of samples from this net alone; 0: none
    samples_at: tuple[int, ...] = ()  # steps whose grids are a result that is asked for: these do enter the key
    tensorboard: bool = False  # write a TensorBoard log of the loss, the learning rate and the images per second
    image: int | None = Field(None, ge=0)  # number of the one training image that is seen; None: all of them
    flips: bool = False  # half of the batch is mirrored, and half upside down
    gray_noise: bool = False  # images without colour get the same noise in red, green and blue
    base: DenoiserTraining | None = None  # the net whose weights are the first ones; None: random weights
    retrain: bool = False  # not the net that comes with the package, nor anything made from it

    @model_validator(mode="after")
    def _base_fits(self) -> DenoiserTraining:
        if self.base is not None and self.base.net != self.net:
            raise UserError("setting 'base' has another 'net': the first weights must be those of a net of this shape")
        return self

    @model_validator(mode="after")
    def _batch_divides(self) -> DenoiserTraining:
        if self.batch % (self.accumulate * self.processes):
            raise UserError(
                f"setting 'batch' is {self.batch}, which {self.processes} process(es) with {self.accumulate} part(s) "
                "each cannot share evenly; make it a multiple of processes × accumulate"
            )
        return self

    @model_validator(mode="after")
    def _side_fits(self) -> DenoiserTraining:
        if isinstance(self.net, LargeNet):
            self.net.check_side("setting 'crop'", self.crop)
            if not isinstance(self.data, FolderData) and self.crop is None:
                self.net.check_side("setting 'size' of the data", self.data.size)
        return self


Sampler = Literal["ddpm", "ddim", "dpm++"]


class Synthesis(Seeded):
    """A folder of synthetic pairs, sampled from a large and a small net with a switch at ``switch_step`` (Fig. 4)."""

    stage: ClassVar[str] = "synthetic"
    dataset: ClassVar[str] = "dataset"  # folder of the artifact that holds the pairs, in the one layout
    unhashed: ClassVar[frozenset[str]] = frozenset({"batch"})

    large: DenoiserTraining
    small: DenoiserTraining
    switch_step: int = Field(400, ge=0, le=T)  # u: the large net acts at t >= u, the small one below
    num_inference_steps: int = Field(50, ge=1, le=T)  # network calls per image
    sampler: Sampler = "ddim"
    path: Literal["paper", "release"] = "paper"  # timesteps as the paper has them, or as the released code visits them
    count: int = Field(ge=1, le=1_000_000)  # pairs
    size: int | None = Field(None, ge=32, le=4096)  # pixels a side; None: the size trained on
    batch: int = Field(25, ge=1)  # pairs at a time; each has its own noise

    @model_validator(mode="after")
    def _one_dataset(self) -> Synthesis:
        if self.large.data != self.small.data:
            raise UserError("the large and the small net were not trained on the same data; train both on one dataset")
        if self.path == "release" and self.sampler != "ddim":
            raise UserError(f"setting 'sampler' is {self.sampler}, but the released code samples by ddim alone")
        if isinstance(self.large.net, LargeNet):
            self.large.net.check_side("setting 'size' of the pairs", self.size)
        return self

    @property
    def data(self) -> Data:
        """What the nets were trained on."""
        return self.large.data

    @property
    def crop_by(self) -> CropBy | None:
        """How the crops were drawn that the nets were trained on; None: they were trained on whole images."""
        return self.large.crop_by if self.large.crop else None


class LiveNets(Stage):
    """A large net and small ones of several receptive fields for the reader's browser: ONNX in scripts."""

    stage: ClassVar[str] = "live_nets"

    large: DenoiserTraining
    small: tuple[DenoiserTraining, ...] = Field(min_length=1)

    def inputs(self) -> dict[str, Stage]:
        """The nets under the names that the page knows them by."""
        return {"large": self.large, **{f"small{net.net.receptive_field}": net for net in self.small}}

    @property
    def data(self) -> Data:
        """What the nets were trained on."""
        return self.large.data


class SamplerTiming(Seeded):
    """How long pairs take with each sampler and number of network calls, all of them timed in one run."""

    stage: ClassVar[str] = "sampler_timing"
    timed: ClassVar[bool] = True

    large: DenoiserTraining
    small: DenoiserTraining
    points: tuple[tuple[Sampler, int], ...]  # samplers, each with a number of network calls
    machine: str  # whose speed it is (see `defectlib.runtime.machine`)
    threads: int = Field(1, ge=1)  # on a CPU
    pairs: int = Field(2, ge=1)  # sampled together
    rounds: int = Field(3, ge=1)  # each takes every point once
    switch_step: int = Field(400, ge=0, le=T)


class ReceptiveField(Stage):
    """What an output pixel of a trained denoiser sees of its input, and what leaks in through normalisation."""

    stage: ClassVar[str] = "receptive_field"

    denoiser: DenoiserTraining
    images: int = Field(5, ge=2)  # training images that the net is looked at with
    timesteps: tuple[int, ...] = (100, 300, 500, 700, 900)
    seed: int = 0
    device: Device = "cpu"


class Density(Stage):
    """The density of what a DDPM samples on the line, after a few numbers from a known distribution (Fig. 3)."""

    stage: ClassVar[str] = "density"

    samples: int = Field(ge=1)  # that it is trained on
    denoiser: Literal["net", "optimum"] = "net"  # a small one that is trained, or the best that there is
    steps: int = Field(3000, ge=1)  # of the training of a net
    seed: int = 0


# Other generators (paper §4.3) --------------------------------------------------------------------------------------

#: Those that are trained by code of their own. DDPM is the large denoiser alone, SinDiffusion a small one on one image.
RivalMethod = Literal["SinGAN", "CycleGAN"]


class RivalTraining(Training):
    """A generator that the paper compares with, trained on the training images of ``data``, or on one.

    ``steps`` are those of each optimiser, SinGAN's at each scale.
    """

    stage: ClassVar[str] = "rival"

    data: Data
    method: RivalMethod
    batch: int = Field(1, ge=1)  # images per step
    channels: int = Field(32, ge=4)  # of a network's first layer
    lr: float = Field(2e-4, gt=0)
    image: int | None = Field(None, ge=0)  # number of the one training image that is seen; None: all of them
    retrain: bool = False  # not the nets that come with the package, nor anything made from them

    @model_validator(mode="after")
    def _one_image(self) -> RivalTraining:
        if self.method == "SinGAN" and self.image is None:
            raise UserError("SinGAN learns from a single image; set 'image' to its number among the training images")
        return self


class RivalSynthesis(Stage):
    """A folder of synthetic pairs from one of the other generators."""

    stage: ClassVar[str] = "rival_pairs"
    dataset: ClassVar[str] = "dataset"  # folder of the artifact that holds the pairs, in the one layout
    unhashed: ClassVar[frozenset[str]] = frozenset({"batch"})

    rival: RivalTraining
    count: int = Field(ge=1, le=1_000_000)  # pairs
    seed: int = 0
    batch: int = Field(25, ge=1)  # pairs at a time; each has its own noise
    device: Device = "cpu"

    crop_by: ClassVar[None] = None  # all of them are trained on whole images

    @property
    def data(self) -> Data:
        """What the generator was trained on."""
        return self.rival.data


class PastedPairs(Stage):
    """A folder of pairs made without a generator: real defects, mirrored, pasted elsewhere into training images."""

    stage: ClassVar[str] = "pasted_pairs"
    dataset: ClassVar[str] = "dataset"  # folder of the artifact that holds the pairs, in the one layout
    unhashed: ClassVar[frozenset[str]] = frozenset({"batch"})

    data: Data
    size: int = Field(ge=32, le=4096)  # pixels a side of the crops that are pasted into
    count: int = Field(ge=1, le=1_000_000)  # pairs
    seed: int = 0
    batch: int = Field(100, ge=1)  # pairs at a time

    crop_by: ClassVar[CropBy] = "defect"


def _maker(pairs: Any) -> str:
    """Where synthetic pairs come from, as settings or as values: by the field that only those have."""
    fields = pairs if isinstance(pairs, dict) else type(pairs).model_fields
    return next(name for name in ("rival", "large", "data") if name in fields)


#: Synthetic pairs from anywhere.
Pairs = Annotated[
    Annotated[Synthesis, Tag("large")] | Annotated[RivalSynthesis, Tag("rival")] | Annotated[PastedPairs, Tag("data")],
    Discriminator(_maker),
]


class Fidelity(Stage):
    """How far synthetic pairs are from the training images, and from each other."""

    stage: ClassVar[str] = "fidelity"
    version: ClassVar[int] = 3

    synthetic: Pairs


# Segmentation -------------------------------------------------------------------------------------------------------

#: The baselines, abbreviation → full name, in the order of the paper's Table 2; `defectlib.segmentation.models` has
#: the networks.
MODEL_NAMES = {
    "UNet": "UNet-small",
    "PSP": "ResNet18-PSPNet",
    "DL": "ResNet18-DeepLabV3+",
    "HR": "HRNetW18-small",
    "Bise": "BiSeNetV2",
    "V-T": "ViT-Tiny-Segmenter",
    "M-B0": "Segformer-MiT-B0",
    "M2F": "HRNet-Mask2Former",
}


#: Learning rates, as fractions of the others', of baselines that learn nothing from few images at theirs.
LEARNING_RATES = {"V-T": 0.15, "M2F": 0.15}

#: Baselines whose encoder has ImageNet weights in a library.
PRETRAINABLE = frozenset({"PSP", "DL", "HR", "V-T", "M-B0", "M2F"})


def known_model(name: str) -> str:
    """``name``, if it is a baseline's abbreviation.

    Raises:
        UserError: It is none; the message offers the nearest abbreviation, found by full names too.
    """
    name = str(name)
    if name in MODEL_NAMES:
        return name
    texts = {text.lower(): short for short, title in MODEL_NAMES.items() for text in (short, title)}
    near = get_close_matches(name.lower(), texts, n=1, cutoff=0.5)
    hint = f"did you mean '{texts[near[0]]}'? " if near else ""
    known = ", ".join(f"{short} ({title})" for short, title in MODEL_NAMES.items())
    raise UserError(f"unknown model '{name}': {hint}known are {known}")


class SegmenterTraining(Training):
    """A baseline trained on real images, and on synthetic ones too where ``synthetic`` says so."""

    stage: ClassVar[str] = "segmenter"
    version: ClassVar[int] = 2

    data: Data
    model: str  # one of `MODEL_NAMES`
    synthetic: Pairs | None = None
    pairs: int | None = Field(None, ge=1)  # the first so many of the synthetic ones; None: all of them
    every: int = Field(1, ge=1)  # of the real images each so many-th trains
    augmented: bool = True  # images are shifted, mirrored and lit a little differently each time
    batch: int = Field(8, ge=2)  # one image is too few for batch normalisation
    crop: int | None = Field(None, ge=32)  # pixels a side of random training crops; None trains on whole images
    lr: float = Field(1e-3, gt=0)  # decays to zero by the poly rule
    weight_decay: float = Field(1e-2, ge=0)
    pretrained: bool = False  # ImageNet weights for the encoder
    checkpoint_every: int = Field(100, ge=1)

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        return known_model(name)

    @model_validator(mode="after")
    def _pairs_are_there(self) -> SegmenterTraining:
        there = 0 if self.synthetic is None else self.synthetic.count
        if self.pairs is not None and self.pairs > there:
            raise UserError(f"setting 'pairs' is {self.pairs}, but there are {there} synthetic pairs; sample more")
        return self


class Evaluation(Stage):
    """Per-image confusion counts of a segmenter on the held-out images of its data."""

    stage: ClassVar[str] = "evaluation"
    version: ClassVar[int] = 2

    segmenter: SegmenterTraining
    native: bool = False  # compared at the size of the published masks, not at that to which images were squashed

    @model_validator(mode="after")
    def _was_squashed(self) -> Evaluation:
        if self.native and not isinstance(self.segmenter.data, PublishedData):
            raise UserError("setting 'native' is for published datasets: no others are squashed")
        return self


class SegmenterTiming(Seeded):
    """How long the baselines take for one image, all of them timed in one run, with fresh weights (Table 2).

    ``dtype`` is that of the optimised models, where it keeps their outputs within the tolerance.
    """

    stage: ClassVar[str] = "segmenter_timing"
    timed: ClassVar[bool] = True
    version: ClassVar[int] = 2

    data: Data  # whose first training image it is: its size and the number of defect types are what counts
    models: tuple[str, ...]  # of `MODEL_NAMES`
    machine: str  # whose speed it is (see `defectlib.runtime.machine`)
    threads: int = Field(1, ge=1)  # on a CPU
    rounds: int = Field(12, ge=2)  # each takes every model every way once

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known_model(name) for name in names)


class Throughput(Stage):
    """How long a training step and a call of every network take, all of them timed in one run, with fresh weights."""

    stage: ClassVar[str] = "throughput"
    timed: ClassVar[bool] = True

    # Whose steps are timed. A tuple of settings is no input: none of these trainings is made.
    denoisers: tuple[DenoiserTraining, ...]
    segmenters: tuple[SegmenterTraining, ...]
    machine: str  # whose speed it is (see `defectlib.runtime.machine`)
    threads: int = Field(1, ge=1)  # on a CPU
    pairs: int = Field(25, ge=1)  # images of one call of a denoiser
    rounds: int = Field(3, ge=2)  # each takes everything once
    device: Device = "cpu"


# Judges -------------------------------------------------------------------------------------------------------------


class OracleTraining(Training):
    """A segmenter that has seen thousands of scenes of the procedural dataset, and none that anything else sees."""

    stage: ClassVar[str] = "oracle"
    versions: ClassVar[dict[str, int]] = PAINTER

    product: str
    size: int = Field(64, ge=32, le=512)  # pixels a side
    scenes: int = Field(4000, ge=1)  # that train it
    unseen: int = Field(500, ge=1)  # further scenes, which it is scored on
    width: int = Field(16, ge=4)  # channels at full resolution, doubled at each lower one
    levels: int = Field(4, ge=2)  # resolutions
    batch: int = Field(16, ge=2)  # one image is too few for batch normalisation
    lr: float = Field(2e-3, gt=0)  # decays to zero along a cosine
    weight_decay: float = Field(1e-2, ge=0)
    retrain: bool = False  # not the one that comes with the package, nor anything judged by it

    @model_validator(mode="after")
    def _side_fits(self) -> OracleTraining:
        multiple = 2 ** (self.levels - 1)
        if self.size % multiple:
            raise UserError(f"setting 'size' is {self.size} px, but the oracle needs a multiple of {multiple} px")
        return self


class Judgement(Stage):
    """How synthetic pairs are seen by networks: whether masks and images fit, and how far features are apart."""

    stage: ClassVar[str] = "judgement"

    synthetic: Pairs
    oracle: OracleTraining | None = None  # None where there can be none: its scenes have to be painted

    @model_validator(mode="after")
    def _knows_the_product(self) -> Judgement:
        if self.oracle is not None:
            data = self.synthetic.data
            size = getattr(self.synthetic, "size", None) or getattr(data, "size", None)
            knows, asked = (self.oracle.product, self.oracle.size), (getattr(data, "product", "own data"), size)
            if not isinstance(data, EmbeddedData) or knows != asked:
                raise UserError(
                    f"the oracle knows {knows[0]} at {knows[1]} px, but the pairs are of {asked[0]} at {asked[1]} px; "
                    "give it the product and size of the pairs, or none"
                )
        return self


# Defect-Click (paper §3.3) -------------------------------------------------------------------------------------------


#: Attention heads of the encoder of Defect-Click, as in SegFormer-B0: each divides the channels of its stage.
CLICKER_HEADS = (1, 2, 5, 8)
Width = Annotated[int, Field(ge=1, le=1024)]
Depth = Annotated[int, Field(ge=1, le=64)]


class ClickerTraining(Training):
    """Defect-Click: a network from clicks to masks, trained on painted scenes and further data of many domains.

    Without one of the paper's three adaptations: many domains are a matter of ``products`` and ``data``, which then
    name a single one, and of ``imagined``; the two others are switched off here.
    """

    stage: ClassVar[str] = "clicker"
    version: ClassVar[int] = 3
    versions: ClassVar[dict[str, int]] = PAINTER

    products: tuple[str, ...] = ()  # of the procedural dataset, whose scenes it learns from
    sizes: tuple[Annotated[int, Field(ge=32, le=512)], ...] = Field(
        (64, 128, 256), min_length=1
    )  # pixels, taking turns
    scenes: int = Field(1200, ge=1, le=1_000_000)  # in all, products taking turns; none that anything is evaluated on
    data: tuple[Data, ...] = ()  # whose training images it learns from as well, as often as from a product
    widths: tuple[Width, Width, Width, Width] = (16, 32, 80, 128)  # channels of the encoder's four stages
    depths: tuple[Depth, Depth, Depth, Depth] = (1, 1, 1, 1)  # layers of each
    crop: int = Field(96, ge=32, le=1024)  # pixels a side, to which target and focus crops are scaled
    imagined: bool = True  # half the views show a defect such as no product has
    multi_level: bool = True  # crops of every scale down to the defect's own; else whole images
    edge_sensitive: bool = True  # the boundary is learned, and pixels near it weigh more
    batch: int = Field(8, ge=1, le=4096)  # views per step
    lr: float = Field(2e-3, gt=0)  # decays to zero along a cosine
    weight_decay: float = Field(1e-2, ge=0)
    retrain: bool = False  # not the one that comes with the package, nor anything that it clicked

    @model_validator(mode="after")
    def _has_something_to_learn_from(self) -> ClickerTraining:
        if not self.products and not self.data:
            raise UserError("a clicker with neither 'products' nor 'data' has nothing to learn from; name some")
        if self.crop % 32:
            raise UserError(f"setting 'crop' is {self.crop} px, but the clicker needs a multiple of 32 px")
        for width, heads in zip(self.widths, CLICKER_HEADS, strict=True):
            if width % heads:
                raise UserError(f"setting 'widths' has {width} channels where the clicker needs a multiple of {heads}")
        return self


#: What turns clicks into masks: ours, and what people use without knowledge of defects.
ClickMethod = Literal["Defect-Click", "flood fill", "GrabCut", "random walker", "SAM"]


class Clicking(Stage):
    """What a simulated annotator gets from one method, click by click, on the held-out images of ``data``."""

    stage: ClassVar[str] = "clicking"

    data: Data
    method: ClickMethod
    clicker: ClickerTraining | None = None  # of Defect-Click
    clicks: int = Field(20, ge=1)  # on each defect at most
    images: int | None = Field(None, ge=1)  # so many, types taking turns; None: all with a defect
    weights: str = ""  # the name of those of SAM

    @model_validator(mode="after")
    def _clicker_fits(self) -> Clicking:
        if (self.method == "Defect-Click") != (self.clicker is not None):
            raise UserError(f"method '{self.method}': Defect-Click needs a clicker, and no other method has one")
        return self


class NotebookRun(Stage):
    """A notebook executed with parameters, from artifacts that are there."""

    stage: ClassVar[str] = "notebook"

    notebook: str  # name, without suffix
    parameters: dict[str, Any]
    cells: str  # SHA-256 over types, sources and tags of the cells
    code: str  # SHA-256 over the package and the reference results
    reads: tuple[SerializeAsAny[Stage], ...] = Field((), exclude=True)

    def inputs(self) -> dict[str, Stage]:
        """What the notebook reads, by key."""
        return {stage.key(): stage for stage in self.reads}

    def identity(self, ignore: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Fields, and the keys of what is read in no order."""
        return super().identity(ignore | {"reads"}) | {"reads": sorted(self.inputs())}


#: Every stage by name; the way back from a settings file to an object.
STAGES: dict[str, type[Stage]] = {
    stage.stage: stage
    for stage in (
        DenoiserTraining,
        Synthesis,
        LiveNets,
        Fidelity,
        SamplerTiming,
        ReceptiveField,
        Density,
        RivalTraining,
        RivalSynthesis,
        PastedPairs,
        SegmenterTraining,
        Evaluation,
        SegmenterTiming,
        Throughput,
        OracleTraining,
        Judgement,
        ClickerTraining,
        Clicking,
    )
}


def parse(cls: type[Settings], values: dict[str, Any]) -> Any:
    """``cls`` made from ``values``.

    Raises:
        UserError: A value has the wrong type or is out of range, or a setting is missing or unknown; in one line.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise _first(cls, error) from error


def part(cls: type[Settings]) -> Any:
    """The type of a table that holds some of the fields of ``cls``, each validated as ``cls`` does it."""
    annotations = {
        name: TypeAdapter(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)
        for name, field in cls.model_fields.items()
    }

    def checked(values: dict[str, Any]) -> dict[str, Any]:
        cls._known_keys_only(values)
        found = {}
        for name, value in values.items():
            try:
                found[name] = annotations[name].validate_python(value)
            except ValidationError as error:
                raise _first(cls, error, name) from error
        return found

    return Annotated[dict[str, Any], AfterValidator(checked)]


def _first(cls: type[Settings], error: ValidationError, *within: str) -> UserError:
    first = error.errors()[0]
    where = ".".join(str(step) for step in (*within, *first["loc"])) or cls.__name__
    return UserError(f"setting '{where}' of {cls.__name__}: {first['msg']}, got {shown(first['input'])}")
