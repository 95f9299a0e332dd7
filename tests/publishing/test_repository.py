from __future__ import annotations

import subprocess
from urllib.parse import urlsplit

import pytest

from defectlib.publishing import repository

NAME = "someone/defect-book"


def git(folder, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    run = subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def clone(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    return tmp_path


@pytest.mark.parametrize(
    "remote",
    [
        f"https://github.com/{NAME}",
        f"https://github.com/{NAME}.git",
        f"https://token:secret@github.com/{NAME}.git",
        f"git@github.com:{NAME}.git",
        f"ssh://git@github.com/{NAME}",
    ],
)
def test_the_repository_is_read_from_the_remote_without_its_secrets(clone, remote):
    git(clone, "remote", "add", "origin", remote)
    found = repository.find(clone)
    assert found == repository.Repository(NAME, "HEAD")  # nobody else has the commit yet
    assert found.url == f"https://github.com/{NAME}"


def test_a_commit_that_the_remote_has_is_named(clone):
    git(clone, "remote", "add", "origin", f"https://github.com/{NAME}")
    commit = git(clone, "rev-parse", "HEAD")
    git(clone, "update-ref", "refs/remotes/origin/main", commit)
    assert repository.find(clone).ref == commit
    git(clone, "commit", "-q", "--allow-empty", "-m", "not pushed")
    assert repository.find(clone).ref == "HEAD"


@pytest.mark.parametrize("remote", [None, "https://example.org/someone/defect-book", "https://notgithub.com/a/b"])
def test_elsewhere_there_is_nothing_to_launch(clone, remote):
    if remote:
        git(clone, "remote", "add", "origin", remote)
    assert repository.find(clone) is None


def test_a_folder_without_git_has_no_repository(tmp_path):
    assert repository.find(tmp_path / "nowhere") is None


def test_addresses_name_the_committed_notebook():
    found = repository.Repository(NAME, "0123abc")
    colab, binder = (urlsplit(address("notebooks/04_page.ipynb")) for address in (found.colab, found.binder))
    assert (colab.netloc, colab.path) == (
        "colab.research.google.com",
        f"/github/{NAME}/blob/0123abc/notebooks/04_page.ipynb",
    )
    assert (binder.netloc, binder.path) == ("mybinder.org", f"/v2/gh/{NAME}/0123abc")
    assert binder.query == "urlpath=lab/tree/notebooks/04_page.ipynb"
