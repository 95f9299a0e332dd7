"""A folder of images being labelled into a dataset folder, which is whole after every image.

Beside what every dataset has (:mod:`defectlib.data.folder`), the folder holds::

    clicks/KEY.json          what was done to each image that is labelled: see :mod:`defectlib.click.records`
    clicks/drafts/KEY.json   the same of images that are begun and not saved yet
    clicks/staging/          files on their way to images/ and masks/

An image is labelled once its record stands. Mask and copied image follow from record and source, so that whatever a
power cut left out is made good when the folder is opened next.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from defectlib.click.clicks import Clicker
from defectlib.click.records import Record, read_record
from defectlib.click.session import Session
from defectlib.data.folder import BACKGROUND, name_fault, read_classes
from defectlib.data.listing import IMAGE_SUFFIXES, is_litter, key_fault
from defectlib.data.pixels import MAX_CLASSES, read_image, read_mask
from defectlib.errors import UserError, UserErrors, shown
from defectlib.store import write_atomically

#: Seconds that a folder's last owner gets to let go of it: a kernel notices after one that its server is gone.
PATIENCE = 10.0
_OPEN: dict[Path, Labelling] = {}


@dataclass
class Work:
    """An image being labelled.

    Attributes:
        key: Its key in the dataset.
        session: What is done to it.
        saved: Mask and record hold all of it.
        before: Seconds that it was shown for before, when it was open earlier.
    """

    key: str
    session: Session
    saved: bool = False
    before: float = 0.0
    opened: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """The image was shown for, in all."""
        return self.before + time.monotonic() - self.opened


class Labelling:
    """Images of one folder, and the dataset folder that they are labelled into; nobody else writes to it meanwhile.

    Args:
        images: Folder of images, in folders of their own or not; it is only read.
        out: Dataset folder, new or begun by this class.
        classes: Names of the defect types; may be left out where ``out`` is begun, and may add to its classes there.
        clicker: Turns clicks into masks.

    Attributes:
        sources: Paths of the images by key, in the order of their paths.
        classes: Names by id, from 1.
        labelled: Keys of the images that are in the dataset.

    Raises:
        UserError: A folder cannot be used, or is in use; or the classes are none.
        UserErrors: Names of images cannot be keys, or several would be one.
    """

    def __init__(self, images: Path, out: Path, classes: Sequence[str], clicker: Clicker) -> None:
        self.images, self.out, self.clicker = Path(images).absolute(), Path(out).absolute(), clicker
        self.sources, _ = _sources(self.images, self.out)
        self.classes = _agreed(self.out, classes)
        self._lock = self._locked()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _locked(self) -> FileLock:
        if (former := _OPEN.pop(self.out, None)) is not None:  # a cell that is run again
            former.close()
        try:
            for name in ("drafts", "staging"):
                (self.out / "clicks" / name).mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.out / "clicks" / ".lock", thread_local=False)
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise UserError(f"{self.out}: is being labelled by another tool; close that, or name another") from None
        except OSError as error:
            fault = f"cannot be written ({error.strerror or error})"
            raise UserError(f"{self.out}: {fault}; name a folder you own") from error
        _OPEN[self.out] = self
        return lock

    def _begin(self) -> None:
        # Of killed processes, since nobody else writes here while the lock is held.
        clicks = self.out / "clicks"
        partial = (path for folder in (self.out, clicks, clicks / "drafts") for path in folder.glob(".*.json.*"))
        for leftover in (*(clicks / "staging").iterdir(), *partial):
            leftover.unlink()
        table = {str(number): name for number, name in enumerate(self.classes, 1)}
        write_atomically(self.out / "classes.json", json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        self.labelled = {key for key in self.sources if self._record(key).exists()}
        for key in self.labelled:
            if not (self._mask(key).exists() and self._copy(key).exists()):
                self._publish(key, self.open(key).session.index)

    def close(self) -> None:
        """Let others have the folder; all but unsaved drafts is in the dataset, and those are kept beside it."""
        self._lock.release()
        if _OPEN.get(self.out) is self:
            del _OPEN[self.out]

    # What is there ----------------------------------------------------------------------------------------------------

    def first(self) -> int:
        """Position in ``sources`` of the first image that is not labelled; of the first where all are."""
        return next((place for place, key in enumerate(self.sources) if key not in self.labelled), 0)

    def source_of(self, key: str) -> str:
        """Path of an image below the folder, with slashes."""
        return self.sources[key].relative_to(self.images).as_posix()

    # One image --------------------------------------------------------------------------------------------------------

    def open(self, key: str) -> Work:
        """Go on with an image where it was left, or begin it.

        Raises:
            UserError: The image, its mask or its record cannot be read, or they do not fit.
        """
        draft, record, mask = self._draft(key), self._record(key), self._mask(key)
        if mask.exists() and not record.exists():
            raise UserError(f"{mask}: was not made with this tool, which leaves it alone; remove it to label the image")
        image = read_image(self._copy(key) if self._copy(key).exists() else self.sources[key])
        saved = record.exists() and not draft.exists()
        if not (record.exists() or draft.exists()):
            return Work(key, Session(image, len(self.classes), self.clicker))
        path = record if saved else draft
        kept = read_record(path)
        session = self._restored(path, kept, image)
        # A save that was cut off leaves the draft behind; only a hand from outside can make the two differ without one.
        if saved and mask.exists() and not np.array_equal(read_mask(mask), session.index):
            fault = "differs from what was done to the image with this tool, so it was changed elsewhere"
            raise UserError(f"{mask}: {fault}; remove {record} and the mask to label the image anew")
        return Work(key, session, saved, kept.seconds)

    def _restored(self, path: Path, kept: Record, image: np.ndarray) -> Session:
        if kept.classes != self.classes[: len(kept.classes)]:
            raise UserError(f"{path}: is about the classes {', '.join(kept.classes)}; classes.json names others")
        try:
            session = kept.session(image, self.clicker)
        except ValueError as error:
            raise UserError(f"{path}: does not fit its image ({error}); remove it to label the image anew") from error
        session.defect_types = len(self.classes)
        return session

    def keep(self, work: Work) -> None:
        """Keep what is done so far beside the dataset, so that nothing is lost whatever happens.

        Raises:
            UserError: The tool was replaced by another on the same folder.
        """
        work.saved = False
        write_atomically(self._writable(self._draft(work.key)), self._written(work))

    def save(self, work: Work) -> None:
        """Put the image with its mask into the dataset; a mask without a defect says that there is none.

        Raises:
            UserError: See :meth:`keep`; or the image cannot be copied.
        """
        write_atomically(self._writable(self._record(work.key)), self._written(work))
        self._publish(work.key, work.session.index)
        self.labelled.add(work.key)
        self._draft(work.key).unlink(missing_ok=True)  # last: where it is left, the image opens as not saved yet
        work.saved = True

    def _written(self, work: Work) -> str:
        return Record.of(work.session, self.source_of(work.key), self.classes, work.seconds).to_json()

    def _publish(self, key: str, index: np.ndarray) -> None:
        """Put mask and image into the dataset, one rename right after the other."""
        mask, copy = self._mask(key), self._copy(key)
        staging = self.out / "clicks" / "staging"
        buffer = io.BytesIO()
        Image.fromarray(index).save(buffer, "png")
        placed = {staging / f"mask {mask.name}": (mask, buffer.getvalue())}
        if not copy.exists():
            placed[staging / f"image {copy.name}"] = copy, self.sources[key].read_bytes()
        for path, (target, content) in placed.items():
            target.parent.mkdir(exist_ok=True)
            write_atomically(path, content)
        for path, (target, _) in placed.items():
            path.replace(target)

    def _writable(self, path: Path) -> Path:
        if _OPEN.get(self.out) is not self:
            raise UserError(f"{self.out}: a newer tool labels into this folder; go on there")
        return path

    def _record(self, key: str) -> Path:
        return self.out / "clicks" / f"{key}.json"

    def _draft(self, key: str) -> Path:
        return self.out / "clicks" / "drafts" / f"{key}.json"

    def _mask(self, key: str) -> Path:
        return self.out / "masks" / f"{key}.png"

    def _copy(self, key: str) -> Path:
        return self.out / "images" / f"{key}{self.sources[key].suffix}"


# Both folders -------------------------------------------------------------------------------------------------------


def _sources(images: Path, out: Path) -> tuple[dict[str, Path], int]:
    """Images below a folder by key, in the order of their paths; and how many files are none by their names."""
    if not images.is_dir():
        raise UserError(f"{images}: no such folder; name one that holds images")
    if Path(os.path.realpath(images)).is_relative_to(os.path.realpath(out)):
        raise UserError(f"{images}: lies in the folder to write, {out}; name another to write")
    found, others = defaultdict(list), 0
    for path in sorted(_files(images, out)):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found["_".join(path.relative_to(images).with_suffix("").parts)].append(path)
        else:
            others += 1
    if not found:
        raise UserError(f"{images}: holds no image ({', '.join(IMAGE_SUFFIXES)}); name a folder that does")
    faults = [f"{paths[0]}: its name {fault}; rename it" for key, paths in found.items() if (fault := key_fault(key))]
    faults += [
        f"{path}: is no plain file, or a link to none; remove it"
        for paths in found.values()
        for path in paths
        if not path.is_file()
    ]
    faults += [
        f"{paths[0]}: would be called '{key}' in the dataset, like {paths[1]}; rename one of them"
        for key, paths in found.items()
        if len(paths) > 1
    ]
    if faults:
        raise UserErrors(f"{images}: images that cannot be taken up ({len(faults)}):", faults)
    return {key: paths[0] for key, paths in found.items()}, others


def _files(images: Path, out: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(images, onerror=_unreadable):
        folders[:] = [name for name in folders if not is_litter(name) and Path(folder, name) != out]
        yield from (Path(folder, name) for name in names if not is_litter(name))


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}); make it readable or move it") from error


def _agreed(out: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes to label with: those given, those of a folder that is begun, or both where they agree."""
    names = tuple(name.strip() for name in classes)
    there = next(place for place in (out, *out.parents) if place.exists() or place.is_symlink())
    if not there.is_dir():
        raise UserError(f"{there}: is a file; name a folder")
    begun = (out / "clicks").is_dir() and (out / "classes.json").exists()
    others = (path for path in out.iterdir() if not is_litter(path.name)) if out.is_dir() else ()
    if not begun and any(path.name != "clicks" or not path.is_dir() for path in others):
        raise UserError(f"{out}: is not empty and was not begun by this tool; name another folder")
    known = read_classes(out) if begun else ()
    names = names or known
    if not names or not all(names) or len(set(names)) < len(names) or len(names) > MAX_CLASSES:
        raise UserError("classes: name the defect types, each once, such as scratch,stain")
    for name in names:
        if fault := "is what 0 means in every mask" if name == BACKGROUND else name_fault(name):
            raise UserError(f"classes: the name {shown(name)} {fault}; give the defect type another")
    if names[: len(known)] != known:
        given, kept = ", ".join(names), ", ".join(known)
        raise UserError(f"classes: {given} do not go on from {out / 'classes.json'} ({kept}); new ones come at the end")
    return names


def check(images: Path, out: Path, classes: Sequence[str]) -> str:
    """How many images there are and how many of them are labelled, in words; nothing is written.

    Raises:
        UserError: See :class:`Labelling`; a folder that is in use is no fault yet.
        UserErrors: Likewise.
    """
    images, out = Path(images).absolute(), Path(out).absolute()
    sources, others = _sources(images, out)
    _agreed(out, classes)
    done = sum((out / "clicks" / f"{key}.json").exists() for key in sources)
    beside = f"; passed over as no images: {others}" if others else ""
    return f"{done} of {len(sources)} images labelled{beside}"
