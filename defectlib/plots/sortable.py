"""Tables that can be sorted and filtered in the book; elsewhere they are tables like all others.

Here they get a class alone; ``book/_assets/tables.js`` gives the controls to tables that have it.
"""

from __future__ import annotations

from dataclasses import fields

from defectlib.plots.tables import Table


class Sortable(Table):
    """A :class:`~defectlib.plots.tables.Table` of that class."""

    def markdown(self) -> str:
        """As of any table, with the classes that the script and the library look for."""
        name = f":name: {self.name}\n"
        return super().markdown().replace(name, f"{name}:class: sortable n-last\n", 1)


def sortable(table: Table) -> Sortable:
    """``table``, to be sorted and filtered by its readers."""
    return Sortable(**{field.name: getattr(table, field.name) for field in fields(Table)})
