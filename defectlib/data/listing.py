"""Which files stand in a folder of a dataset, by key: nothing is opened, and what does not belong is named."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

#: What file managers, photo programs, editors, sync clients and network disks leave beside images.
_LITTER = re.compile(
    r"\..*"  # hidden files: .DS_Store, ._name, .picasa.ini, .ipynb_checkpoints, half-written files of sync clients
    r"|.*~|~\$.*|.*\.(tmp|swp|bak|xmp|aae|pp3)|.*zone\.identifier"
    r"|(eh)?thumbs(_vista)?\.db|desktop\.ini|picasa\.ini|icon\r"
    r"|__macosx|__pycache__|@eadir|[@#]recycle|#snapshot|\$recycle\.bin|system volume information|lost\+found",
    re.IGNORECASE | re.DOTALL,
)
_CONFLICT = re.compile(r"conflicted copy|sync-conflict-|[_(\[](sf)?conflict\b", re.IGNORECASE)


def list_files(
    root: Path, folder: str, suffixes: tuple[str, ...], faults: list[str], beside: tuple[str, ...] = ()
) -> dict[str, list[Path]]:
    """The files of ``root / folder`` by key (the name without its suffix), in the order of their names.

    Args:
        root: The dataset's folder; links are followed.
        folder: Below ``root``.
        suffixes: Those wanted, in lower case; a file of any other is a fault.
        faults: Takes one line for everything that is wrong.
        beside: Names of what else belongs there; it is passed over.

    Returns:
        Paths by key; more than one where files differ in the suffix alone, none where the file is refused.
    """
    files: dict[str, list[Path]] = defaultdict(list)
    directory = root / folder
    if not directory.is_dir():
        faults.append(f"{directory}: no such folder; put one file per image there, named by key")
        return files
    # scandir knows the kind of an entry without another system call: 18,000 files are listed in a fraction of a second.
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if is_litter(entry.name) or entry.name in beside:
                continue
            key, suffix = os.path.splitext(entry.name)  # noqa: PTH122 (a Path per entry would double the time)
            if fault := _entry_fault(entry, key, suffix, suffixes):
                faults.append(f"{directory}{os.sep}{_printable(entry.name)}: {fault}")
                files[key] += []  # known, so that its partner is not called single
            else:
                files[key].append(directory / entry.name)
    return files


def list_folders(root: Path, folder: str, faults: list[str]) -> list[str]:
    """Names of the folders in ``root / folder``, sorted; a link to nothing is a fault.

    Files beside them (licences, readmes) are left alone, but an image that no folder holds is a fault.
    """
    directory = root / folder
    if not directory.is_dir():
        faults.append(f"{directory}: no such folder; it belongs to the dataset's layout")
        return []
    names = []
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if fault := _link_fault(entry):
                faults.append(f"{entry.path}: {fault}")
            elif entry.is_dir():
                if not is_litter(entry.name):
                    names.append(entry.name)
            elif entry.name.lower().endswith(IMAGE_SUFFIXES) and not is_litter(entry.name):
                faults.append(f"{entry.path}: is an image beside the folders that hold images; move or remove it")
    return names


def single(files: dict[str, list[Path]], faults: list[str]) -> dict[str, Path]:
    """The one path of every key; several files with one key are a fault, and the first is kept."""
    for key, paths in files.items():
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            faults.append(f"{paths[0]}: key '{key}' is there more than once ({names}); keep one")
    return {key: paths[0] for key, paths in files.items() if paths}


def is_litter(name: str) -> bool:
    """Whether other programs leave files or folders of this ``name`` behind: they alone are passed over."""
    return _LITTER.fullmatch(name) is not None


def alike(keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of keys that another disk would take for one: they differ in case or in how an accent is written alone."""
    seen: dict[str, str] = {}
    for key in keys:
        first = seen.setdefault(unicodedata.normalize("NFC", key).casefold(), key)
        if first != key:
            yield first, key


def key_fault(key: str) -> str | None:
    """Why ``key`` cannot name a file of a dataset, or None."""
    if not key or is_litter(f"{key}.png"):
        return "is empty or starts with '.' or '~$', as hidden and temporary files do"
    if "/" in key or "\\" in key or not key.isprintable():
        return "holds a path separator or an unprintable character"
    if _CONFLICT.search(key):
        return "names a sync client's conflict copy, a second version of another file: keep one of them"
    return None


def _link_fault(entry: os.DirEntry[str]) -> str | None:
    if entry.is_symlink() and not Path(entry.path).exists():
        return "is a link to nothing; fetch what it stands for (`dvc pull`, `git annex get`) or remove it"
    return None


def _entry_fault(entry: os.DirEntry[str], key: str, suffix: str, suffixes: tuple[str, ...]) -> str | None:
    if fault := _link_fault(entry):
        return fault
    if not entry.is_file():
        return "is a folder or a special file; plain files stand side by side here"
    if fault := key_fault(key):
        return f"its key {fault}; rename the file"
    if suffix.lower() not in suffixes:
        return f"is not one of {', '.join(suffixes)}; convert it or move it"
    return None


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)
