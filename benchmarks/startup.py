"""How soon things begin: `import defectlib`, the command line's help, and the imports of a notebook, in new processes.

The floor is Python itself; for a notebook, Python with the libraries that its page cannot do without. The plain way
loads torch at once, as a package does that imports its networks at the top.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

from benchmarks.harness import Finding, Floor, by_turns
from defectlib.errors import UserError
from defectlib.runtime import REPOSITORY

ROUNDS = 5
NOTEBOOK = "13_speed"
TORCH = "import torch\n"
NEEDED = "import pandas, matplotlib.pyplot, IPython.display"
HELP = "import sys; sys.argv[1:] = ['--help']\nimport runpy; runpy.run_module('defectlib', run_name='__main__')"


def run(tiny: bool) -> Iterator[Finding]:
    """Each start, by turns with the same after torch and with its floor."""
    imports = "\n".join(line for line in _first_code() if line.startswith(("import ", "from ")))
    starts = {
        "import defectlib": ("import defectlib", "pass", "Python"),
        "command line, --help": (HELP, "pass", "Python"),
        "imports of a notebook": (imports, NEEDED, "Python, pandas, matplotlib, IPython"),
    }
    for case, (code, floor, floor_name) in starts.items():
        ways = {"ours": _process(code), "plain": _process(TORCH + code), "floor": _process(floor)}
        seconds = by_turns(ways, 1 if tiny else ROUNDS)
        yield Finding(
            "start-up",
            case,
            "start",
            "nothing loaded that is not used",
            seconds["ours"],
            "torch loaded first",
            seconds["plain"],
            floor=Floor(min(seconds["floor"]), floor_name),
        )


def _first_code() -> list[str]:
    """The lines of the notebook's cell after its parameters: what a reader waits for before anything is built."""
    notebook = json.loads((REPOSITORY / "notebooks" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return "".join(cells[1]["source"]).splitlines()


def _process(code: str) -> Callable[[], object]:
    def start() -> None:
        run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        if run.returncode:
            raise UserError(f"a start failed: {run.stderr.strip().rpartition(chr(10))[2]}")

    return start
