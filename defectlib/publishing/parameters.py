"""The parameters of a notebook: what its `parameters` cell declares, and values for them from a command line.

The cell is read as Python. papermill's own reader goes line by line and overlooks a parameter annotated ``int | None``
or one whose comment holds an equals sign.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from defectlib import reading
from defectlib.errors import UserError, shown, unknown
from defectlib.publishing import notebooks

#: Python types by the name that an annotation gives them; a parameter annotated otherwise is not checked.
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "list": (list,),
    "dict": (dict,),
    "None": (type(None),),
}


@dataclass(frozen=True)
class Parameter:
    """One assignment of the `parameters` cell.

    Attributes:
        annotation: As written; empty where there is none.
        default: The value assigned; the expression's text where it is not a literal.
    """

    annotation: str
    default: Any

    @property
    def alternatives(self) -> tuple[str, ...]:
        """Names of the types a value may have: ``("list", "None")`` for ``list[int] | None``, or ``list = None``."""
        names = tuple(part.split("[")[0].strip() for part in self.annotation.split("|"))
        return names if self.default is not None or "None" in names else (*names, "None")


def declared(source: Path) -> dict[str, Parameter]:
    """What the cell tagged `parameters` assigns, by name, in its order; nothing where there is no such cell.

    Raises:
        UserError: ``source`` is no notebook, or the cell is not Python.
    """
    cells = [cell for cell in notebooks.read(source).cells if "parameters" in cell.metadata.get("tags", ())]
    try:
        return _assigned(cells[0].source) if cells else {}
    except SyntaxError as error:
        raise UserError(f"{source}: line {error.lineno} of its parameters cell is not Python ({error.msg})") from error


def _assigned(cell: str) -> dict[str, Parameter]:
    found = {}
    for statement in ast.parse(cell).body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found[statement.target.id] = Parameter(ast.unparse(statement.annotation), _literal(statement.value))
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            found[statement.targets[0].id] = Parameter("", _literal(statement.value))
    return found


def parse(pairs: Iterable[tuple[str, str]], document: str, declared: Mapping[str, Parameter]) -> dict[str, Any]:
    """Values from the command line: ``-p NAME VALUE`` pairs over the YAML mapping of ``-y``.

    A pair's value is read as the annotation says, so that ``-p product 007`` stays text and ``-p lr 1e-3`` is a
    number; ``None`` is None, as papermill reads it.

    Raises:
        UserError: A text is not YAML, or that of ``-y`` no mapping.
    """
    values = _yaml(document, "-y") or {}
    if not isinstance(values, dict):
        raise UserError(f"-y {shown(document)}: give a YAML mapping, such as -y 'switch_steps: [0, 300]'")
    values = {str(name): value for name, value in values.items()}
    for name, text in pairs:
        is_text = name in declared and declared[name].alternatives[0] == "str"
        values[name] = None if text == "None" else text if is_text else _yaml(text, f"-p {name}")
    return {name: _as_float(value, declared.get(name)) for name, value in values.items()}


def check(notebook: str, values: Mapping[str, Any], declared: Mapping[str, Parameter]) -> None:
    """Refuse what the notebook does not declare, and values that its annotations exclude.

    Raises:
        UserError: The first such parameter, with the nearest valid name or the type expected.
    """
    for name, value in values.items():
        if name not in declared:
            raise unknown(f"parameter of {notebook}", name, declared)
        alternatives = declared[name].alternatives
        if not set(alternatives) <= _TYPES.keys():
            continue
        # By exact type: bool is a subclass of int, but `steps=true` is a slip and not a number.
        if type(value) not in {kind for part in alternatives for kind in _TYPES[part]}:
            expected, got = " or ".join(alternatives), shown(value)
            hint = f'; give a list as -y "{name}: [1, 2]"' if "list" in alternatives else ""
            raise UserError(f"parameter '{name}' of {notebook}: must be {expected}, got {got}{hint}")


def check_injected() -> None:
    """In a notebook: refuse what papermill, called without this package, injected after the `parameters` cell.

    papermill runs a notebook with a misspelt parameter at its defaults, and takes a list after ``-p`` for text.

    Raises:
        UserError: As :func:`check` does.
    """
    from IPython import get_ipython

    for cell, injected in pairwise(get_ipython().user_ns["In"]):
        if injected.startswith("# Parameters\n"):
            values = {name: parameter.default for name, parameter in _assigned(injected).items()}
            check("this notebook", values, _assigned(cell))


def _yaml(text: str, option: str) -> Any:
    try:
        return reading.parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{option} {shown(text)}: this is not YAML ({' '.join(str(error).split())})") from error


def _as_float(value: Any, parameter: Parameter | None) -> Any:
    """YAML 1.1 reads ``1e-3`` as text; where the annotation asks for a float it is one."""
    if isinstance(value, str) and parameter and "float" in parameter.alternatives:
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)
