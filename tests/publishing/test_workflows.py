"""The workflows for a hosting service: nothing runs them here, so what they name must at least be there."""

from __future__ import annotations

import re
import subprocess
from itertools import chain

import pytest
import yaml

from defectlib import cli_book
from defectlib.runtime import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def steps(path) -> list[dict]:
    jobs = yaml.safe_load(path.read_text())["jobs"].values()
    return list(chain.from_iterable(job["steps"] for job in jobs))


def test_there_is_one_for_the_tests_and_one_for_the_book():
    assert [path.stem for path in WORKFLOWS] == ["book", "tests"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit_and_say_their_version(path):
    used = re.findall(r"uses: *(\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"actions/[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_nothing_may_be_written_but_what_a_job_says(path):
    content = yaml.safe_load(path.read_text())
    assert content["permissions"] == {"contents": "read"}
    writing = {name: job["permissions"] for name, job in content["jobs"].items() if "permissions" in job}
    expected = {"publish": {"pages": "write", "id-token": "write"}, "release": {"contents": "write"}}
    assert writing == (expected if path.stem == "book" else {})
    assert all(job["timeout-minutes"] <= 180 for job in content["jobs"].values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_they_make_can_be_made(path):
    targets = chain.from_iterable(re.findall(r"^make (.+)$", step.get("run", ""), re.MULTILINE) for step in steps(path))
    for target in chain.from_iterable(line.split() for line in targets):
        subprocess.run(["make", "-n", target], cwd=REPOSITORY, check=True, capture_output=True)


def test_the_paths_are_those_that_the_commands_write_to():
    (book,) = (path for path in WORKFLOWS if path.stem == "book")
    given = {
        step["uses"].split("@")[0].split("/")[1]: step["with"]["path"]
        for step in steps(book)
        if "with" in step and "path" in step["with"]
    }
    assert REPOSITORY / given["upload-pages-artifact"] == cli_book.PAGES
    assert REPOSITORY / given["upload-artifact"] == cli_book.BUILD / f"{cli_book.BOOK}.*"
    assert f"sha256sum -c {cli_book.BOOK}.tar.gz.sha256" in book.read_text()
