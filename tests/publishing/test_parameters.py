from __future__ import annotations

import re
from contextlib import nullcontext

import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from defectlib.errors import UserError
from defectlib.publishing import parameters

CELL = """
profile: str = "smoke"  # smoke, cpu or gpu: one = one file
steps: int = 3
lr: float = 1e-3
shots: int | None = None
switch_steps: list[int] | None = None
flag: bool = False
folder: str = None
plain = (1, 2)
size: int = 2 * 16
"""


@pytest.fixture
def source(written):
    return written("steps", parameters=CELL)


def test_declared_reads_every_assignment_with_annotation_and_default(source):
    found = parameters.declared(source)
    assert {name: (p.annotation, p.default) for name, p in found.items()} == {
        "profile": ("str", "smoke"),
        "steps": ("int", 3),
        "lr": ("float", 1e-3),
        "shots": ("int | None", None),
        "switch_steps": ("list[int] | None", None),
        "flag": ("bool", False),
        "folder": ("str", None),
        "plain": ("", (1, 2)),
        "size": ("int", "2 * 16"),
    }


def test_declared_is_empty_without_a_parameters_cell(written):
    assert parameters.declared(written("1")) == {}


def test_declared_refuses_a_cell_that_is_not_python(written):
    with pytest.raises(UserError, match=r"05_page.ipynb: line 2 of its parameters cell is not Python"):
        parameters.declared(written("1", parameters="a = 1\nb ="))


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        (("profile", "007"), "007"),
        (("folder", "2024"), "2024"),
        (("steps", "12"), 12),
        (("lr", "1e-3"), 1e-3),
        (("lr", "2"), 2.0),
        (("shots", "null"), None),
        (("switch_steps", "[0, 300]"), [0, 300]),
        (("flag", "true"), True),
        (("shots", "None"), None),
        (("folder", "None"), None),
        (("nothing", "1"), 1),
    ],
)
def test_parse_reads_a_pair_as_its_annotation_says(source, pair, value):
    parsed = parameters.parse([pair], "", parameters.declared(source))
    assert parsed == {pair[0]: value}


def test_parse_puts_pairs_over_the_yaml_document(source):
    parsed = parameters.parse([("steps", "5")], "{steps: 4, lr: 1e-2}", parameters.declared(source))
    assert parsed == {"steps": 5, "lr": 0.01}


@pytest.mark.parametrize(
    ("pairs", "document", "message"),
    [
        ([("steps", "[1")], "", r"^-p steps '\[1': this is not YAML \(.*\)$"),
        ([], "steps: [1", r"^-y 'steps: \[1': this is not YAML"),
        ([], "[1, 2]", r"^-y '\[1, 2\]': give a YAML mapping, such as -y 'switch_steps: \[0, 300\]'$"),
    ],
)
def test_parse_names_the_text_that_cannot_be_read(source, pairs, document, message):
    with pytest.raises(UserError, match=message):
        parameters.parse(pairs, document, parameters.declared(source))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"setps": 3},
            r"^unknown parameter of 05_page.ipynb 'setps': did you mean 'steps'\? known are flag, folder,",
        ),
        ({"steps": "many"}, r"^parameter 'steps' of 05_page.ipynb: must be int, got 'many'$"),
        ({"steps": True}, r"'steps' of 05_page.ipynb: must be int, got True"),
        ({"folder": 3}, r"'folder' of 05_page.ipynb: must be str or None, got 3"),
        ({"flag": 1}, r"'flag' of 05_page.ipynb: must be bool, got 1"),
        ({"switch_steps": 300}, r"'switch_steps' of 05_page.ipynb: must be list or None, got 300"),
    ],
)
def test_check_refuses_what_the_notebook_excludes(source, values, message):
    with pytest.raises(UserError, match=message):
        parameters.check(source.name, values, parameters.declared(source))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "UserError: unknown parameter of this notebook 'stepz': did you mean 'steps'?"),
        (
            {"switch_steps": "[0, 300]"},
            "UserError: parameter 'switch_steps' of this notebook: must be list or None, got '[0, 300]'; "
            'give a list as -y "switch_steps: [1, 2]"',
        ),
        ({"steps": 4, "lr": 1e-2, "shots": None, "switch_steps": [1]}, None),
        ({}, None),
    ],
)
def test_a_notebook_refuses_parameters_that_plain_papermill_lets_pass(written, tmp_path, values, message):
    source = written("from defectlib.publishing import parameters\nparameters.check_injected()", parameters=CELL)
    with nullcontext() if message is None else pytest.raises(PapermillExecutionError, match=re.escape(message)):
        papermill.execute_notebook(str(source), str(tmp_path / "out.ipynb"), values, progress_bar=False)


def test_check_accepts_what_the_annotations_allow(source):
    values = {"steps": 4, "lr": 1, "folder": None, "shots": None, "switch_steps": [1], "plain": "anything"}
    parameters.check(source.name, values, parameters.declared(source))
