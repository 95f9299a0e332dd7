"""The one dataset that is fetched, Defect Spectrum: one fixed revision, checked file by file.

Everything else lies behind a licence that a person accepts; :func:`download` says where, and fetches nothing.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from defectlib import runtime
from defectlib.data.sources.defect_spectrum import SUBSETS
from defectlib.data.sources.manifest import read_manifest
from defectlib.errors import UserError, UserErrors, shown, unknown
from defectlib.reading import repeated

REPOSITORY = "DefectSpectrum/Defect_Spectrum"
#: The last commit of the published dataset; what the loader and its tests know. A branch could change under them.
REVISION = "a00e814d12595f394a819f34132f058457099f07"

_README = "README.md"
_MOST_FILES = 200_000  # that a listing may have, far more than there are; one that leads in a circle has no end
_MOST_BYTES = 2**60  # of a file
_WORKERS = 8  # files at a time, as many as the library takes by itself
_ELSEWHERE = "take the dataset from elsewhere"
_AGAIN = "then run the same command again: it goes on where it was"


def download(name: str, out: Path, subsets: Sequence[str] = (), endpoint: str | None = None) -> Path:
    """Fetch the published dataset called ``name`` into the folder ``out``; run again, it goes on where it was.

    Files that are there and whole are not fetched again. Every file is compared with the size and the checksum that
    the page states for it, and one that differs is removed.

    Args:
        name: As ``defectlib data list`` spells it; ``-`` may stand for ``_``.
        out: The folder; made where it does not exist.
        subsets: Those wanted, of `SUBSETS`; all of them where it is empty.
        endpoint: Address of the hub; None for ``$HF_ENDPOINT`` or the public one.

    Returns:
        ``out``.

    Raises:
        UserError: The dataset is not one that is fetched, or a subset is unknown; the page cannot be reached, does not
            have the revision, or asks for a licence; or the disk is too small.
        UserErrors: Files are not what the page states.
    """
    manifest = read_manifest(name.replace("-", "_"))
    if manifest.name != "defect_spectrum":
        raise UserError(
            f"{manifest.title} is not fetched for you ({manifest.licence}): {manifest.get}; its page is {manifest.page}"
        )
    for subset in subsets:
        if subset not in SUBSETS:
            raise unknown("subset", subset, SUBSETS)
    hub = _Hub(Path(out), endpoint)
    with _no_bars():
        hub.fetch(hub.files(subsets or tuple(SUBSETS)))
    return Path(out)


class _Hub:
    """The repository at its fixed revision, and the folder that it is copied to."""

    def __init__(self, out: Path, endpoint: str | None) -> None:
        self.out, self.api = out, HfApi(endpoint=endpoint)
        self.page = f"{self.api.endpoint}/datasets/{REPOSITORY}"
        self.source = {"repo_id": REPOSITORY, "repo_type": "dataset", "revision": REVISION}
        self.target = {"local_dir": out, "endpoint": self.api.endpoint}

    def files(self, subsets: Sequence[str]) -> list[RepoFile]:
        """What the page lists for ``subsets``."""
        with self._explained():
            found = self.api.repo_info(**self.source).sha
            tree = list(islice(self.api.list_repo_tree(recursive=True, **self.source), _MOST_FILES + 1))
        if found != REVISION:
            raise UserError(
                f"{self.page}: answers with revision {found}, not {REVISION}; set HF_ENDPOINT to a hub that has it"
            )
        if len(tree) > _MOST_FILES:
            raise UserError(f"{self.page}: lists more than {_MOST_FILES:,} files; {_ELSEWHERE}")
        listed = [entry for entry in tree if isinstance(entry, RepoFile)]
        for file in listed:
            if fault := _listing_fault(file):
                raise UserError(f"{self.page}: lists {fault}; {_ELSEWHERE}")
        wanted = [file for file in listed if file.path.partition("/")[0] in (*subsets, _README)]
        for subset in subsets:
            if not any(file.path.startswith(f"{subset}/") for file in wanted):
                raise UserError(f"{self.page}: lists no file in {subset}/; choose another subset")
        if len(paths := [file.path for file in wanted]) > len(set(paths)):
            raise UserError(f"{self.page}: lists {shown(repeated(paths))} more than once; {_ELSEWHERE}")
        return wanted

    def fetch(self, files: Sequence[RepoFile]) -> None:
        """Bring ``files`` here, and check them all."""
        size = sum(file.size for file in files)
        self._check_disk(sum(file.size for file in files if _size(self.out / file.path) != file.size))
        runtime.say(f"{self.page}: {len(files):,} files, {_in_words(size)}, to {self.out}")
        with self._explained():
            self.out.mkdir(parents=True, exist_ok=True)
            # Leaves the listing beside the files, from which the library then takes what it would ask file by file.
            snapshot_download(**self.source, **self.target, allow_patterns=_README)
        faults = []
        with ThreadPoolExecutor(_WORKERS) as pool, runtime.progress(len(files), "Defect Spectrum", unit="file") as bar:
            for fault in pool.map(self._bring, files):
                bar.update()
                faults += [fault] if fault else []
        if faults:
            summary = f"{self.page}: sent {len(faults)} files that are not what it lists; they were removed, {_AGAIN}:"
            raise UserErrors(summary, faults)
        runtime.say(f"{self.out}: {len(files):,} files, {_in_words(size)}, each as the page lists it")

    def _bring(self, file: RepoFile) -> str | None:
        """Fetch a file, unless it is there and whole; what is wrong with what came, twice, or None."""
        path = self.out / file.path
        fault = _fault(path, file)
        for force in (path.exists(), True):
            if fault is None:
                return None
            with self._explained():
                hf_hub_download(filename=file.path, force_download=force, **self.source, **self.target)
            fault = _fault(path, file)
        if fault is not None:
            path.unlink(missing_ok=True)
            return f"{path}: {fault}"
        return None

    def _check_disk(self, needed: int) -> None:
        there = next(folder for folder in (self.out, *self.out.absolute().parents) if folder.exists())
        if needed > (free := shutil.disk_usage(there).free):
            raise UserError(
                f"{self.out}: needs {_in_words(needed)} more and {_in_words(free)} are free; free some, name another "
                "folder, or choose fewer subsets"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in one line what the library reports in many."""
        try:
            yield
        # The library, its two transports and their connections have no error in common.
        except Exception as error:
            while isinstance(error, LocalEntryNotFoundError | ValueError) and isinstance(error.__cause__, Exception):
                error = error.__cause__
            raise UserError(self._line(error)) from error

    def _line(self, error: Exception) -> str:
        if isinstance(error, GatedRepoError):
            return f"{self.page}: asks for a licence; accept it there, log in with 'hf auth login', {_AGAIN}"
        if isinstance(error, RepositoryNotFoundError):
            return f"{self.page}: is not there, or not for you; look at the page, or log in with 'hf auth login'"
        if isinstance(error, RevisionNotFoundError):
            return f"{self.page}: no longer has revision {REVISION}; a newer defectlib may know another"
        if isinstance(error, HfHubHTTPError):
            return f"{self.page}: answers with HTTP status {error.response.status_code}; wait some minutes, {_AGAIN}"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return f"{self.out}: the disk is full; free some space, {_AGAIN}"
        if isinstance(error, OSError) and error.filename is not None:
            return f"{error.filename}: cannot be written ({error.strerror}); name a folder you own"
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"{self.page}: cannot be reached, or broke off ({reason}); look at the network, {_AGAIN}"


def _listing_fault(file: RepoFile) -> str | None:
    """What of an entry of the listing is not to be followed, or None; the library takes it as it comes."""
    path, size = file.path, file.size
    if not isinstance(path, str):
        return f"a file called {shown(path)}"
    plain = PurePosixPath(path)
    inside = not plain.is_absolute() and ".." not in plain.parts
    if not inside or str(plain) != path or "\\" in path or not path.isprintable():
        return f"a file called {path!r}"
    if type(size) is not int or not 0 <= size <= _MOST_BYTES:
        return f"{path!r} with a size of {shown(size)} bytes"
    if not isinstance(file.blob_id if file.lfs is None else file.lfs.sha256, str):
        return f"{path!r} with a checksum that is none"
    return None


def _fault(path: Path, file: RepoFile) -> str | None:
    """How the file at ``path`` differs from what the page lists, or None."""
    if (size := _size(path)) != file.size:
        return f"has {size:,} bytes where {file.size:,} are listed" if size >= 0 else "is missing"
    with path.open("rb") as content:
        if file.lfs is not None:
            same = hashlib.file_digest(content, "sha256").hexdigest() == file.lfs.sha256
        else:  # small files have git's name for their content
            named = hashlib.sha1(f"blob {size}\0".encode() + content.read(), usedforsecurity=False)
            same = named.hexdigest() == file.blob_id
    return None if same else "has another content than the checksum that is listed"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _in_words(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the library's own bars, of which there would be one for every file."""
    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
