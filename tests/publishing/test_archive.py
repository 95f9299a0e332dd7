from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile

import pytest

from defectlib.errors import UserError
from defectlib.publishing.archive import write_archive


@pytest.fixture
def book(tmp_path):
    (tmp_path / "html" / "notebooks").mkdir(parents=True)
    (tmp_path / "html" / "index.html").write_text("<p>One page.</p>")
    (tmp_path / "html" / "notebooks" / "a.html").write_text("<p>Another.</p>")
    return tmp_path / "html"


def test_the_archive_holds_the_pages_below_a_folder_of_its_name(book, tmp_path):
    write_archive(book, tmp_path / "the-book.tar.gz")
    with tarfile.open(tmp_path / "the-book.tar.gz") as tar:
        assert tar.getnames() == ["the-book/index.html", "the-book/notebooks/a.html"]
        assert tar.extractfile("the-book/index.html").read() == b"<p>One page.</p>"
        assert {(entry.uid, entry.gid, entry.uname, entry.mode) for entry in tar} == {(0, 0, "", 0o644)}


def test_the_same_pages_give_the_same_bytes_and_others_do_not(book, tmp_path):
    first, second, third = (tmp_path / name / "book.tar.gz" for name in "abc")
    for path in (first, second, third):
        path.parent.mkdir()
    write_archive(book, first)
    for path in book.rglob("*.html"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    write_archive(book, second)
    assert first.read_bytes() == second.read_bytes()
    (book / "index.html").write_text("<p>One Page.</p>")
    write_archive(book, third)
    assert third.read_bytes() != first.read_bytes()


def test_the_checksum_is_one_that_sha256sum_can_check(book, tmp_path):
    checksum = write_archive(book, tmp_path / "book.tar.gz")
    digest = hashlib.sha256((tmp_path / "book.tar.gz").read_bytes()).hexdigest()
    assert checksum.read_text() == f"{digest}  book.tar.gz\n"
    run = subprocess.run(["sha256sum", "-c", checksum.name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "book.tar.gz: OK\n")


def test_without_a_book_nothing_is_packed(tmp_path):
    with pytest.raises(UserError, match=r"html: no book is there; build it first, by `make book`"):
        write_archive(tmp_path / "html", tmp_path / "book.tar.gz")
    assert list(tmp_path.iterdir()) == []


def test_the_name_must_say_what_it_is(book, tmp_path):
    with pytest.raises(UserError, match=r"book.zip: the name of the archive must end in .tar.gz"):
        write_archive(book, tmp_path / "book.zip")
