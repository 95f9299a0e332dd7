"""Which images train and which evaluate: the authors' protocol, or a division by group; kept as a JSON manifest.

The authors' answer (tracker #7 of the release): the first 5 images of each defect type train, all others evaluate.
Images of one group (shots of one part) never stand on both sides.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from defectlib import runtime
from defectlib.data import folder
from defectlib.data.pixels import read_mask, threaded
from defectlib.errors import UserError, shown
from defectlib.reading import read_json
from defectlib.store import SEAL, changed_since_sealed, sealed, write_atomically

TRAIN_FRACTION = 0.6


@dataclass(frozen=True)
class Split:
    """Keys of the training and of the evaluation images, in the index's order.

    Attributes:
        train: Keys of images that train; the generator sees only these.
        eval: Keys of images held out.
        rule: How they were chosen, in words.
        seed: Of the random choice; None where there was none.
        made_from: :func:`origin` of the folder that was divided; None where a person or a publisher divided it.
    """

    train: tuple[str, ...]
    eval: tuple[str, ...]
    rule: str
    seed: int | None = None
    made_from: str | None = None

    def write(self, path: Path) -> None:
        """Write the manifest atomically.

        Raises:
            UserError: The place cannot be written to.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            values = sealed(asdict(self)) if self.made_from else asdict(self)
            write_atomically(path, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise UserError(
                f"{path}: the split cannot be written ({error.strerror}); name a folder you own for split manifests"
            ) from error

    @classmethod
    def read(cls, path: Path) -> Split:
        """Read a manifest.

        Raises:
            UserError: It is missing, not valid, empty on one side, or names a key twice.
        """
        values = read_json(path)
        known = {SEAL, *(field.name for field in fields(cls))}
        if not isinstance(values, dict) or not {"train", "eval"} <= set(values) <= known:
            raise UserError(
                f"{path}: a split is a JSON object of 'train' and 'eval' (with 'rule', 'seed'); write it so"
            )
        for side in ("train", "eval"):
            keys = values[side]
            if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
                raise UserError(f"{path}: '{side}' must be a list of at least one key; mend or remove the file")
            key, count = Counter(keys).most_common(1)[0]
            if count > 1:
                raise UserError(f"{path}: '{side}' names '{key}' {count} times; once is enough")
        seed, rule, made_from = values.get("seed"), values.get("rule", "given"), values.get("made_from")
        if not isinstance(seed, int | None) or isinstance(seed, bool):
            raise UserError(f"{path}: 'seed' must be a whole number or null, found {shown(seed)}; write it so")
        if not isinstance(rule, str):
            raise UserError(f"{path}: 'rule' must be text, found {shown(rule)}; write it so")
        if not isinstance(made_from, str | None):
            raise UserError(f"{path}: 'made_from' must be text or null, found {shown(made_from)}; remove it")
        if changed_since_sealed(values):  # by hand, so it is somebody's own now
            made_from = None
        return cls(tuple(values["train"]), tuple(values["eval"]), rule, seed, made_from)

    def faults(self, groups: Mapping[str, str], path: Path) -> list[str]:
        """What stands against this split of a dataset whose keys have these ``groups``, one line each."""
        unknown = [key for key in chain(self.train, self.eval) if key not in groups]
        lines = [f"{path}: names '{key}', which is no image here; remove the key or add the image" for key in unknown]
        both = set(self.train) & set(self.eval)
        lines += [f"{path}: '{key}' trains and evaluates; keep it on one side" for key in sorted(both)]
        sides = [{groups[key] for key in side if key in groups and key not in both} for side in (self.train, self.eval)]
        shared = sorted(sides[0] & sides[1])
        return lines + [f"{path}: group '{group}' stands on both sides; keep it on one" for group in shared]

    def left_out(self, keys: Iterable[str], path: Path) -> list[str]:
        """The line that counts the images on neither side of a split that somebody wrote, where there are any."""
        missing = sorted(set(keys).difference(self.train, self.eval))
        if not missing or self.made_from is not None:  # the authors' protocol leaves out what shows a training part
            return []
        first = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        images = "1 image is" if len(missing) == 1 else f"{len(missing)} images are"
        return [f"{path}: {images} on neither side ({first}); add them, or remove the file to divide the folder anew"]


# What is in the masks -----------------------------------------------------------------------------------------------


def class_table(index: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """Pixels of each defect type in each image of a :func:`folder.index`, each mask decoded once.

    Returns:
        The index with two columns more: ``classes``, the names of the types present, in id order, and ``pixels``,
        how many each covers; both hold tuples.
    """
    masks = [Path(path) for path in index["mask"]]
    counts = list(threaded(lambda path: class_pixels(read_mask(path, len(classes)), len(classes)), masks, "counting"))
    present = [tuple(name for name, pixels in zip(classes, row, strict=True) if pixels) for row in counts]
    covered = [tuple(int(pixels) for pixels in row if pixels) for row in counts]
    return index.assign(classes=pd.Series(present, index.index), pixels=pd.Series(covered, index.index))


def class_pixels(mask: np.ndarray, defect_types: int) -> np.ndarray:
    """Pixels of the types 1..K in ``mask``, int64 (K,); values above K are left out."""
    return np.bincount(mask.ravel(), minlength=defect_types + 1)[1 : defect_types + 1]


# The two rules ------------------------------------------------------------------------------------------------------


def first_shots(table: pd.DataFrame, classes: tuple[str, ...], shots: int) -> Split:
    """The authors' protocol: the first ``shots`` images of each defect type train, all others evaluate.

    An image with several types counts for each. At most one image of a group trains, and its siblings then go to
    neither side. ``table`` comes from :func:`class_table`; "first" is its order.

    Raises:
        UserError: A type has too few images to train on and to evaluate.
    """
    if shots < 1:
        raise UserError(f"shots is {shots}; at least one image of each defect type must train")
    taken, groups, counts = [], set(), Counter()
    for row in table.itertuples():
        if row.group not in groups and any(counts[name] < shots for name in row.classes):
            taken.append(row.key)
            groups.add(row.group)
            counts.update(row.classes)
    held = table[~table["group"].isin(groups)]
    evaluable = Counter(chain.from_iterable(held["classes"]))
    for name in classes:
        if counts[name] < shots or not evaluable[name]:
            need = f"{shots} of different groups to train on and one of another to evaluate"
            raise UserError(f"class '{name}' has {_amount(table, name)}, but the split needs {need}; {_ADVICE}")
    return Split(tuple(taken), tuple(held["key"]), f"first {shots} images of each defect type train")


def by_group(
    table: pd.DataFrame, classes: tuple[str, ...], train_fraction: float = TRAIN_FRACTION, seed: int = 0
) -> Split:
    """Divide by group, stratified by defect type, so that about ``train_fraction`` of each type's images train.

    The rarest type is divided first and defect-free groups last; a group goes where its type lacks more images,
    large groups first, equal ones in random order. ``table`` comes from :func:`class_table`.

    Raises:
        UserError: A type cannot be put on both sides.
    """
    contents = _group_contents(table)
    order = sorted(contents)
    runtime.numpy_generator(seed, "split by group").shuffle(order)
    totals = sum(contents.values(), Counter())
    trains: dict[str, bool] = {}
    rarest_first = sorted((name for name in totals if name), key=lambda name: (totals[name], name))
    for name in (*rarest_first, ""):
        sizes = {group: contents[group][name] for group in order if contents[group][name]}
        _divide(sizes, trains, train_fraction)
    for name in classes:
        if len({trains[group] for group in order if contents[group][name]}) < 2:
            need = "one group to train on and another to evaluate"
            raise UserError(f"class '{name}' has {_amount(table, name)}, but the split needs {need}; {_ADVICE}")
    side = table["group"].map(trains)
    rule = f"{train_fraction:.0%} of each defect type's images train, divided by group"
    return Split(tuple(table["key"][side]), tuple(table["key"][~side]), rule, seed)


_ADVICE = "add images, or leave the class out of classes.json and the masks"


def _group_contents(table: pd.DataFrame) -> dict[str, Counter[str]]:
    """Images of each type in each group; the type '' stands for no defect."""
    contents: dict[str, Counter[str]] = {}
    for row in table.itertuples():
        contents.setdefault(row.group, Counter()).update(row.classes or ("",))
    return contents


def _divide(sizes: dict[str, int], trains: dict[str, bool], train_fraction: float) -> None:
    """Give a side to each group that has none yet; ``sizes`` are the groups' images of one defect type."""
    wanted = {True: train_fraction * sum(sizes.values()), False: (1 - train_fraction) * sum(sizes.values())}
    given = {True: 0, False: 0}  # whole numbers, so that the order of addition cannot tip the balance
    for group in sizes.keys() & trains.keys():
        given[trains[group]] += sizes[group]
    free = sorted((group for group in sizes if group not in trains), key=lambda group: -sizes[group])
    for group in free:
        one_sided = (given[True] == 0) != (given[False] == 0)
        if group == free[-1] and one_sided:
            side = given[True] == 0
        else:
            side = wanted[True] - given[True] >= wanted[False] - given[False]
        trains[group] = side
        given[side] += sizes[group]


def _amount(table: pd.DataFrame, name: str) -> str:
    groups = table["group"][[name in row for row in table["classes"]]]
    images = f"{len(groups)} image{'' if len(groups) == 1 else 's'}"
    return images if groups.nunique() == len(groups) else f"{images} in {groups.nunique()} group(s)"


# Identity -----------------------------------------------------------------------------------------------------------


def digest(root: Path, split: Split) -> str:
    """SHA-256 over the manifest, the classes, and group, image and mask of every key that ``split`` names.

    Raises:
        UserError: The folder is not whole, or has no such key.
    """
    index = folder.index(root).set_index("key", drop=False)
    rows = select(index, (*split.train, *split.eval))
    contents = threaded(_content, list(zip(rows["group"], rows["image"], rows["mask"], strict=True)), "hashing")
    manifest = asdict(split)
    del manifest["made_from"]  # the same sides are the same data, whoever divided them
    return hashlib.sha256(json.dumps([manifest, folder.read_classes(root), list(contents)]).encode()).hexdigest()


def origin(root: Path, index: pd.DataFrame) -> str:
    """SHA-256 over what the two rules go by in a folder: classes, and the key, group and mask of every image."""
    masks = threaded(_sha256, [Path(path) for path in index["mask"]], "hashing")
    rows = list(zip(index["key"], index["group"], masks, strict=True))
    return hashlib.sha256(json.dumps([folder.read_classes(root), rows]).encode()).hexdigest()


def select(index: pd.DataFrame, keys: tuple[str, ...]) -> pd.DataFrame:
    """The rows of ``keys``, in that order, of a :func:`folder.index` whose labels are its keys.

    Raises:
        UserError: A key is not in the index.
    """
    if missing := [key for key in keys if key not in index.index]:
        first = ", ".join(missing[:3])
        raise UserError(f"the split names {len(missing)} key(s) that are no image of the folder ({first}); split anew")
    return index.loc[list(keys)]


def _content(row: tuple[str, str, str]) -> list[Any]:
    group, *paths = row
    return [group, *(_sha256(Path(path)) for path in paths)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
