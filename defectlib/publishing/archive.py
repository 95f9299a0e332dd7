"""The built book as one file to hand on: the same pages give the same bytes, so that its checksum says something."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from defectlib.errors import UserError
from defectlib.store import write_atomically

#: The date of every file in an archive, 1980-01-01: dates would differ between two builds of the same pages.
DATE = 315532800


def write_archive(book: Path, output: Path) -> Path:
    """Pack the pages at ``book`` into ``output``, a .tar.gz, and its SHA-256 into a file beside it.

    Unpacked, the pages stand in a folder called as ``output`` is; ``sha256sum -c`` reads the other file.

    Returns:
        The file with the checksum.

    Raises:
        UserError: There is no book at ``book``, it holds a link, or ``output`` is no name of an archive in a folder.
    """
    if not output.name.endswith(".tar.gz"):
        raise UserError(f"{output}: the name of the archive must end in .tar.gz")
    if not (book / "index.html").is_file():
        raise UserError(f"{book}: no book is there; build it first, by `make book`")
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}; make it first")
    packed = io.BytesIO()
    # The name and date that gzip would write down are left out.
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as zipped:
        _pack(book, output.name.removesuffix(".tar.gz"), zipped)
    content = packed.getvalue()
    write_atomically(output, content)
    checksum = output.with_name(f"{output.name}.sha256")
    write_atomically(checksum, f"{hashlib.sha256(content).hexdigest()}  {output.name}\n")
    return checksum


def _pack(book: Path, folder: str, target: gzip.GzipFile) -> None:
    """Every file, in the order of names, owned by nobody."""
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(path for path in book.rglob("*") if path.is_symlink() or path.is_file()):
            if path.is_symlink():  # what it leads to may be no part of the book
                raise UserError(f"{path}: is a link, and a book has none; build it again, by `make book`")
            entry = tarfile.TarInfo(f"{folder}/{path.relative_to(book).as_posix()}")
            entry.size, entry.mtime, entry.mode = path.stat().st_size, DATE, 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)
