"""A folder of images being labelled into a dataset folder, which is whole after every image.

Beside what every dataset has (:mod:`defectlib.data.folder`), the folder holds::

    clicks/KEY.json          what was done to each image that is labelled: see :mod:`defectclick.records`
    clicks/drafts/KEY.json   the same of images that are begun and not saved yet
    clicks/staging/          files on their way to images/ and masks/

An image is labelled once its record stands. Mask and copied image follow from record and source, so that whatever a
power cut left out is made good when the folder is opened next.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from defectclick.clicks import Clicker
from defectclick.records import Record, read_record
from defectclick.session import Session
from defectlib.data.folder import BACKGROUND, name_fault, read_classes
from defectlib.data.listing import IMAGE_SUFFIXES, alike, is_litter, key_fault, list_files, single
from defectlib.data.pixels import MAX_CLASSES, image_size, read_image, read_mask
from defectlib.errors import UserError, UserErrors, shown
from defectlib.reading import read_json
from defectlib.store import write_atomically

#: Seconds that a folder's last owner gets to let go of it: a kernel notices after one that its server is gone.
PATIENCE = 10.0
_OPEN: dict[Path, Labelling] = {}
_LONGEST = 240  # bytes of a key: names of files have 255, of which a half-written record needs 15


@dataclass
class Work:
    """An image being labelled."""

    key: str  # in the dataset
    session: Session  # what is done to it
    digest: str  # SHA-256 of the photograph's file as it was opened, or of the one that was labelled earlier
    saved: bool = False  # mask and record hold all of it
    before: float = 0.0  # seconds that it was shown for before, when it was open earlier
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
        UserErrors: Images cannot be used, or their names cannot be keys, or several would be one; or classes were
            renamed since.
    """

    def __init__(self, images: Path, out: Path, classes: Sequence[str], clicker: Clicker) -> None:
        self.images, self.out, self.clicker = Path(images).absolute(), Path(out).absolute(), clicker
        self._clicks, self._staging = self.out / "clicks", self.out / "clicks" / "staging"
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
            for folder in (self._clicks / "drafts", self._staging):
                folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._clicks / ".lock", thread_local=False)
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
        partial = [
            path for place in (self.out, self._clicks, self._clicks / "drafts") for path in place.glob(".*.json.*")
        ]
        for leftover in (*self._staging.iterdir(), *partial):
            leftover.unlink()
        table = {str(number): name for number, name in enumerate(self.classes, 1)}
        write_atomically(self.out / "classes.json", json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        self.labelled = {key for key in self.sources if self._record(key).exists()}
        self._copies = _copies(self.out)
        for key in sorted(self.labelled):
            if not (self._mask(key).exists() and key in self._copies):
                try:
                    self._publish(self.open(key))
                except UserError:  # said where the image is shown
                    self.labelled.remove(key)

    def close(self) -> None:
        """Let others have the folder; all but unsaved drafts is in the dataset, and those are kept beside it."""
        self._lock.release()
        if _OPEN.get(self.out) is self:
            del _OPEN[self.out]

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
        source = self._copies.get(key, self.sources[key])
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        image = read_image(source, turn=key not in self._copies)
        if not (record.exists() or draft.exists()):
            return Work(key, Session(image, len(self.classes), self.clicker), digest)
        saved = not draft.exists()
        path = record if saved else draft
        kept = read_record(path)
        if key not in self._copies and kept.digest != digest:
            fault = "is another photograph than the one that was labelled"
            raise UserError(f"{source}: {fault}; put that back, or remove {path} to label this one")
        kept.check_classes(path, self.classes)
        try:
            session = kept.session(image, self.clicker)
        except ValueError as error:
            raise UserError(f"{path}: does not fit its image ({error}); remove it to label the image anew") from error
        session.defect_types = len(self.classes)
        # A save that was cut off leaves the draft behind; only a hand from outside can make the two differ without one.
        if saved and mask.exists() and not np.array_equal(read_mask(mask), session.index):
            fault = "differs from what was done to the image with this tool, so it was changed elsewhere"
            raise UserError(f"{mask}: {fault}; remove {record} and the mask to label the image anew")
        return Work(key, session, kept.digest, saved, kept.seconds)

    def keep(self, work: Work) -> None:
        """Keep what is done so far beside the dataset, so that nothing is lost whatever happens.

        Raises:
            UserError: The tool was replaced by another on the same folder.
        """
        work.saved = False
        self._write(self._draft(work.key), work)

    def save(self, work: Work) -> None:
        """Put the image with its mask into the dataset; a mask without a defect says that there is none.

        Raises:
            UserError: See :meth:`keep`; or the image cannot be copied.
        """
        self._write(self._record(work.key), work)
        self._publish(work)
        self.labelled.add(work.key)
        self._draft(work.key).unlink(missing_ok=True)  # last: where it is left, the image opens as not saved yet
        work.saved = True

    def _write(self, path: Path, work: Work) -> None:
        if _OPEN.get(self.out) is not self:
            raise UserError(f"{self.out}: a newer tool labels into this folder; go on there")
        record = Record.of(work.session, self.source_of(work.key), self.classes, work.seconds, work.digest)
        write_atomically(path, record.to_json())

    def _publish(self, work: Work) -> None:
        """Put mask and image into the dataset, one rename right after the other."""
        placed = {self._staging / "mask": (self._mask(work.key), _png(work.session.index))}
        if work.key not in self._copies:
            suffix, content = self._copied(work)
            placed[self._staging / "image"] = self.out / "images" / f"{work.key}{suffix}", content
        for path, (target, content) in placed.items():
            target.parent.mkdir(exist_ok=True)
            write_atomically(path, content)
        for path, (target, _) in placed.items():
            path.replace(target)
            if path.name == "image":
                self._copies[work.key] = target

    def _copied(self, work: Work) -> tuple[str, bytes]:
        """Suffix and content of the image in the dataset: the file where it shows what was labelled, else a PNG."""
        source = self.sources[work.key]
        with suppress(OSError, UserError):
            image_size(source)  # refuses what only its EXIF tag turns
            content = source.read_bytes()
            if hashlib.sha256(content).hexdigest() == work.digest:
                return source.suffix, content
        return ".png", _png(work.session.image)

    def _record(self, key: str) -> Path:
        return self._clicks / f"{key}.json"

    def _draft(self, key: str) -> Path:
        return self._clicks / "drafts" / f"{key}.json"

    def _mask(self, key: str) -> Path:
        return self.out / "masks" / f"{key}.png"


# Both folders -------------------------------------------------------------------------------------------------------


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
    listed = ", ".join(f"{number} {suffix or 'without a suffix'}" for suffix, number in sorted(others.items()))
    beside = f"; passed over as no images: {listed}" if others else ""
    return f"{done} of {len(sources)} images labelled{beside}"


def _sources(images: Path, out: Path) -> tuple[dict[str, Path], Counter[str]]:
    """Images below a folder by key, in the order of their paths; and the suffixes of files that are none."""
    if not images.is_dir():
        raise UserError(f"{images}: no such folder; name one that holds images")
    if Path(os.path.realpath(images)).is_relative_to(os.path.realpath(out)):
        raise UserError(f"{images}: lies in the folder to write, {out}; name another to write")
    found, others = defaultdict(list), Counter()
    for path in sorted(_files(images, out)):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found["_".join(path.relative_to(images).with_suffix("").parts)].append(path)
        else:
            others[path.suffix] += 1
    if not found:
        raise UserError(f"{images}: holds no image ({', '.join(IMAGE_SUFFIXES)}); name a folder that does")
    copies, faults = _copies(out), []
    for key, paths in found.items():
        fault = key_fault(key) or (f"is longer than {_LONGEST} bytes" if len(os.fsencode(key)) > _LONGEST else None)
        if fault:
            faults.append(f"{paths[0]}: its name {fault}; rename it")
        if len(paths) > 1:
            faults.append(f"{paths[0]}: would be called '{key}' in the dataset, like {paths[1]}; rename one of them")
        faults += [f"{p}: is no plain file, or a link to none; remove it" for p in paths if not p.is_file()]
    faults += [
        f"{found[key][0]}: would be called '{key}', like '{first}' but for case or how an accent is written; rename it"
        for first, key in alike([*copies, *found])
        if key in found
    ]
    faults += [
        f"{found[path.stem][0]}: has the key of {source}, which was labelled before ({path}); rename it"
        for path, values in _records(out)
        if path.stem in found and isinstance(source := values.get("source"), str)
        if Path(source).suffix.lower() != found[path.stem][0].suffix.lower()
    ]
    new = [paths[0] for key, paths in found.items() if key not in copies and paths[0].is_file()]
    with ThreadPoolExecutor() as pool:
        faults += [line for line in pool.map(_unfit, new) if line]
    if faults:
        raise UserErrors(f"{images}: images that cannot be taken up ({len(faults)}):", faults)
    return {key: paths[0] for key, paths in found.items()}, others


def _files(images: Path, out: Path) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); make it readable or move it") from error

    seen = {os.path.realpath(out)}  # and all folders so far: links may lead in a circle, or to what is here anyway
    for folder, folders, names in os.walk(images, onerror=unreadable, followlinks=True):
        seen.add(os.path.realpath(folder))
        folders.sort(key=lambda name: (Path(folder, name).is_symlink(), name))
        folders[:] = [n for n in folders if not is_litter(n) and os.path.realpath(Path(folder, n)) not in seen]
        yield from (Path(folder, name) for name in names if not is_litter(name))


def _unfit(photograph: Path) -> str | None:
    """Why a photograph cannot be labelled, as far as its header says; None where it can."""
    try:
        image_size(photograph, turn=True)
    except UserError as error:
        return str(error)
    return None


def _copies(out: Path) -> dict[str, Path]:
    """The images of the dataset, by key."""
    return single(list_files(out, "images", IMAGE_SUFFIXES, []), [])


def _records(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Records and drafts, as far as they can be read; of the others is told where their image is shown."""
    for path in (*(out / "clicks").glob("[!.]*.json"), *(out / "clicks" / "drafts").glob("[!.]*.json")):
        with suppress(UserError):
            if isinstance(values := read_json(path), dict):
                yield path, values


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
    for path, values in _records(out) if begun else ():
        if isinstance(given := values.get("classes"), list) and tuple(given) != known[: len(given)]:
            fault = f"names {', '.join(known)}, but {path} is about {', '.join(map(str, given))}"
            raise UserError(f"{out / 'classes.json'}: {fault}; name the types as there")
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


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()
