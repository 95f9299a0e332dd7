"""Where the weights of Segment Anything lie on this machine, if they do. Nothing is ever downloaded. Loads no torch."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from defectlib import runtime
from defectlib.errors import UserError

VARIABLE = "DEFECTLIB_SAM"
#: Repositories that may lie in the hub's cache; the first that does is taken.
KNOWN = ("facebook/sam-vit-huge", "facebook/sam-vit-large", "facebook/sam-vit-base")
#: Said where they are missing.
ABSENT = (
    f"Segment Anything was not run: its weights are not on this machine. Put them into the hub's cache "
    f"(`hf download {KNOWN[-1]}`), or name the folder that holds them in `{VARIABLE}`."
)
_CONFIG, _MODEL = "config.json", "model.safetensors"


def find() -> tuple[str, Path] | None:
    """Name and folder of the weights: those in ``$DEFECTLIB_SAM``, else those in the hub's cache; None without any.

    Raises:
        UserError: The variable names a folder that holds none.
    """
    if named := os.environ.get(VARIABLE):
        folder = runtime.path_of(named).absolute()
        if lacking := [file for file in (_CONFIG, _MODEL) if not (folder / file).is_file()]:
            raise UserError(
                f"{VARIABLE}={named}: no {' and no '.join(lacking)} in it; give a folder of save_pretrained"
            )
        return folder.name, folder
    for name in KNOWN:
        files = [try_to_load_from_cache(name, file) for file in (_CONFIG, _MODEL)]
        if all(isinstance(file, str) for file in files):
            return name, Path(files[0]).parent
    return None
