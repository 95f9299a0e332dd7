"""Where others can open the committed notebooks: the repository on GitHub that git's remote `origin` names.

It is written down nowhere else, so a fork's book leads to the fork, and a copy without a remote promises nothing.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defectlib import runtime

COLAB, BINDER = "https://colab.research.google.com", "https://mybinder.org"
#: ``git@github.com:OWNER/NAME.git``, ``https://TOKEN@github.com/OWNER/NAME`` and the like; only the names are kept.
_GITHUB = re.compile(r"(?:^|[/@])github\.com[:/]+([\w.-]+)/([\w.-]+?)(?:\.git)?/?$")


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub.

    Attributes:
        name: ``OWNER/NAME``.
        ref: The commit that is checked out here, or ``HEAD``, the newest there, where nobody else has it yet.
    """

    name: str
    ref: str

    @property
    def url(self) -> str:
        """Its page."""
        return f"https://github.com/{self.name}"

    def colab(self, path: str) -> str:
        """The address that opens the notebook at ``path`` in Colab."""
        return f"{COLAB}/github/{self.name}/blob/{self.ref}/{path}"

    def binder(self, path: str) -> str:
        """The address that opens the notebook at ``path`` on Binder, in the environment of `environment.yml`."""
        return f"{BINDER}/v2/gh/{self.name}/{self.ref}?urlpath=lab/tree/{path}"

    def config(self) -> dict[str, Any]:
        """What Jupyter Book's configuration needs to put the buttons on pages made of notebooks."""
        return {
            "repository": {"url": self.url, "path_to_book": "", "branch": self.ref},
            "launch_buttons": {"notebook_interface": "jupyterlab", "binderhub_url": BINDER, "colab_url": COLAB},
        }


def find(folder: Path = runtime.REPOSITORY) -> Repository | None:
    """The repository that ``folder`` was cloned from or is pushed to; None where it is not on GitHub."""
    found = _GITHUB.search(_git(folder, "remote", "get-url", "origin"))
    if found is None:
        return None
    known = _git(folder, "for-each-ref", "--contains", "HEAD", "--format=%(objectname)", "refs/remotes", "refs/tags")
    return Repository("/".join(found.groups()), _git(folder, "rev-parse", "HEAD") if known else "HEAD")


def _git(folder: Path, *words: str) -> str:
    """What git says; nothing where it fails or is not installed."""
    try:
        run = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""
