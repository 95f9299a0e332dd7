"""From data settings to samples in memory: rendered, or read from disk where it still is what the settings say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from defectlib import runtime, settings
from defectlib.data import folder, procedural, twins, verify
from defectlib.data.procedural import textures
from defectlib.data.published import read_published
from defectlib.data.sample import Sample, reduced
from defectlib.data.split import Split, by_group, class_table, digest, first_shots, origin, select
from defectlib.errors import UserError, UserErrors, unknown


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples of one product, divided.

    Attributes:
        train: Samples that train; the generator sees only these.
        eval: Samples held out.
        classes: Names of the K defect types by id from 1.
        product: Name of the product.
        groups: Group of every sample by key, for intervals that resample groups; the key itself where none is given.
    """

    train: tuple[Sample, ...]
    eval: tuple[Sample, ...]
    classes: tuple[str, ...]
    product: str
    groups: dict[str, str]

    @property
    def eval_groups(self) -> list[str]:
        """The group of each held-out sample, in order."""
        return [self.groups[sample.key] for sample in self.eval]


def load(data: settings.Data) -> Dataset:
    """Both sides of ``data``.

    Raises:
        UserError: See :func:`load_train`.
    """
    train, held = load_train(data), load_eval(data)
    given = _given_groups(data)
    groups = {sample.key: given.get(sample.key, sample.key) for sample in (*train, *held)}
    return Dataset(train, held, train[0].classes, train[0].product, groups)


def _given_groups(data: settings.Data) -> dict[str, str]:
    if isinstance(data, settings.PublishedData):
        return read_published(data)[2]
    return folder.read_groups(data.root) if isinstance(data, settings.FolderData) else {}


# A notebook that asks twice must not wait twice. A folder's settings hold its digest, so the samples kept here are
# what the settings describe even if the files change later.
@lru_cache(maxsize=4)
def load_train(data: settings.Data) -> tuple[Sample, ...]:
    """The training samples of ``data``, without those held out.

    Raises:
        UserError: The product is unknown, or the folder is not whole or has changed since its digest was taken.
    """
    if isinstance(data, settings.EmbeddedData):
        return _rendered(data, "train", data.shots * len(_classes(data)))
    if isinstance(data, settings.BaseData):
        return tuple(_of_base(data, "train", i) for i in range(data.count))
    if isinstance(data, settings.PublishedData):
        return read_published(data)[0]
    return _read(data, "train")


@lru_cache(maxsize=4)
def load_eval(data: settings.Data) -> tuple[Sample, ...]:
    """The held-out samples of ``data``, without those that train.

    Raises:
        UserError: See :func:`load_train`.
    """
    if isinstance(data, settings.EmbeddedData):
        return _rendered(data, "eval", data.eval_count)
    if isinstance(data, settings.BaseData):
        return tuple(_of_base(data, "eval", data.count + i) for i in range(200))
    if isinstance(data, settings.PublishedData):
        return read_published(data)[1]
    return _read(data, "eval")


def load_one_or_all(data: settings.Data, image: int | None) -> tuple[Sample, ...]:
    """The training samples of ``data``, or of them only number ``image``, where it is one.

    Raises:
        UserError: There is no such image; or see :func:`load_train`.
    """
    samples = load_train(data)
    if image is None:
        return samples
    if image >= len(samples):
        raise UserError(
            f"setting 'image' is {image}, but there are {len(samples)} training images, 0 to {len(samples) - 1}"
        )
    return samples[image : image + 1]


def load_good(data: settings.Data, first: int, count: int) -> tuple[Sample, ...]:
    """``count`` images without a defect, from number ``first`` on; where they are used up they begin again.

    The embedded dataset paints as many as are wanted. Other data have those of the training samples that show none.

    Raises:
        UserError: There are none; or see :func:`load_train`.
    """
    if isinstance(data, settings.EmbeddedData):
        _classes(data)
        wanted = range(first, first + count)
        return tuple(procedural.sample(data.product, "good", i, size=data.size, seed=data.seed) for i in wanted)
    samples = load_train(data)
    good = [sample for sample in samples if not sample.present]
    if not good:
        raise UserError(f"{samples[0].product}: all training images show a defect; add images whose mask is empty")
    return tuple(good[i % len(good)] for i in range(first, first + count))


def _classes(data: settings.EmbeddedData) -> tuple[str, ...]:
    if data.product not in procedural.PRODUCTS:
        raise unknown("product", data.product, procedural.PRODUCTS)
    return procedural.PRODUCTS[data.product].classes


def _rendered(data: settings.EmbeddedData, split: str, count: int) -> tuple[Sample, ...]:
    # Image i shows type i mod K first, so a prefix of shots x K images holds `shots` of each type.
    _classes(data)
    return tuple(procedural.sample(data.product, split, i, size=data.size, seed=data.seed) for i in range(count))


def _of_base(data: settings.BaseData, split: str, i: int) -> Sample:
    """Every fourth image is of an embedded product, painted from another seed than what is measured on."""
    if i % 4:
        return textures.sample(i, data.size, data.seed)
    product = tuple(procedural.PRODUCTS)[i // 4 % len(procedural.PRODUCTS)]
    painted = procedural.sample(product, split, i // 16, size=data.size, seed=data.seed + 1)
    return replace(painted, mask=(painted.mask > 0).astype("uint8"), classes=textures.CLASSES)


def _read(data: settings.FolderData, side: str) -> tuple[Sample, ...]:
    split = Split.read(data.root / data.split)
    if digest(data.root, split) != data.digest:
        raise UserError(
            f"{data.root}: images, masks, classes, groups or the split changed since it was taken up; do so anew"
        )
    rows = select(folder.index(data.root).set_index("key", drop=False), getattr(split, side))
    samples = folder.read_samples(rows, folder.read_classes(data.root))
    return samples if data.reduce == 1 else tuple(reduced(sample, data.reduce) for sample in samples)


# Taking up a folder -------------------------------------------------------------------------------------------------


def folder_data(
    root: Path, *, shots: int | None = None, seed: int = 0, split_dir: Path | None = None
) -> settings.FolderData:
    """Settings for a dataset folder, checked whole; its split is the manifest in its ``splits/``, or is made and kept.

    Without ``shots`` the manifest is ``default.json`` (``seed-N.json`` for a ``seed`` other than 0), made by
    :func:`split.by_group`; with it, ``shots-N.json``, made by :func:`split.first_shots`. Groups whose images look
    alike are divided as one. A manifest that was made so is made again when the folder holds other keys, groups,
    classes or masks; one that somebody wrote is kept to, and images on neither side are told.

    Args:
        root: The dataset folder.
        shots: Training images per defect type, for the authors' protocol.
        seed: Of the division by group.
        split_dir: Where manifests that are made are kept; ``root/splits`` if None.

    Raises:
        UserErrors: The folder or the manifest has faults; all are listed.
        UserError: A class has too few images for the split, or the manifest cannot be written.
    """
    root = Path(root).absolute()
    verify.check(root)
    name = f"shots-{shots}" if shots is not None else "default" if seed == 0 else f"seed-{seed}"
    index = folder.index(root)
    made_from = origin(root, index)
    for directory in (root / "splits", (split_dir or root / "splits").absolute()):
        path = directory / f"{name}.json"
        if split := _kept(path, index, made_from):
            break
    else:
        split = replace(_divided(index, root, shots, seed, name), made_from=made_from)
        if path.exists():
            runtime.say(f"{path}: {root} holds other images, masks, classes or groups by now, and is divided anew")
        split.write(path)
    below = path.relative_to(root) if path.is_relative_to(root) else path
    return settings.FolderData(root=root, digest=digest(root, split), split=below.as_posix())


def _kept(path: Path, index: pd.DataFrame, made_from: str) -> Split | None:
    """The split in ``path``; None where there is none, or one that was made from something else."""
    if not path.exists():
        return None
    split = Split.read(path)
    if split.made_from not in (None, made_from):
        return None
    if faults := split.faults(dict(zip(index["key"], index["group"], strict=True)), path):
        raise UserErrors(f"{path}: faults in the split ({len(faults)}):", faults)
    for line in split.left_out(index["key"], path):
        runtime.say(f"warning: {line}")
    return split


def _divided(index: pd.DataFrame, root: Path, shots: int | None, seed: int, name: str) -> Split:
    classes, own = folder.read_classes(root), root / "splits" / f"{name}.json"
    table, thumbnails = class_table(index, classes), twins.thumbnails_of(index)

    def divided(within: float) -> Split:
        merged = twins.merge_twins(table, thumbnails, within)
        return by_group(merged, classes, seed=seed) if shots is None else first_shots(merged, classes, shots)

    try:
        return divided(twins.GRAY_LEVELS)
    except UserError as refused:
        left, given = (frame["group"].nunique() for frame in (twins.merge_twins(table, thumbnails), table))
        if left == given:
            raise
        split = _before_one_camera(divided, twins.fixed_camera_levels(thumbnails), own)
        if split is None:
            raise UserError(
                f"{refused}; images that look alike count as one group, which left {left} of {given}: where they show "
                f'different parts, divide them yourself, {{"train": [KEY, ...], "eval": [KEY, ...]}} in '
                f"{own}"
            ) from refused
        return split


def _before_one_camera(divided: Callable[[float], Split], within: float, path: Path) -> Split | None:
    """The split of images that are all alike, with only the nearly equal ones in one group; None if there is none."""
    if within >= twins.GRAY_LEVELS:
        return None
    try:
        split = divided(within)
    except UserError:
        return None
    runtime.say(
        "warning: the images are all alike, as before one fixed camera, so those count as one part that differ by at "
        f"most {within:.2f} gray levels of 255; where more show one part, name it in groups.json, or divide them in "
        f"{path}"
    )
    return split
