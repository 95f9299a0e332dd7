"""A cluster of one machine, for Snakemake's cluster-generic executor: every job a process of its own, some killed once.

    node.py submit FOLDER JOBSCRIPT    starts the job, detached, and prints the name that it goes by
    node.py status FOLDER NAME         prints running, success or failed
    node.py watch FOLDER NAME          waits for a job, as the daemon of a node does; started by ``submit``

The first attempt at every denoiser is killed once it has written a checkpoint, that at every segmenter at once: with
``kill -9``, so that it can say nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def submit(folder: Path, jobscript: Path) -> None:
    line = next(line for line in jobscript.read_text().splitlines() if line.startswith("# properties = "))
    properties = json.loads(line.removeprefix("# properties = "))
    output = next(iter(sorted(properties["output"])))
    attempt = sum(json.loads(path.read_text())["output"] == output for path in folder.glob("*.json"))
    name = str(len(list(folder.glob("*.json"))))
    job = {"output": output, "attempt": attempt, "script": str(jobscript), "resources": properties["resources"]}
    (folder / f"{name}.json").write_text(json.dumps(job))
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen([sys.executable, __file__, "watch", folder, name], start_new_session=True, **streams)
    print(name)


def watch(folder: Path, name: str) -> None:
    job = json.loads((folder / f"{name}.json").read_text())
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(["sh", job["script"]], stdout=log, stderr=log, start_new_session=True)
        while process.poll() is None and job["attempt"] == 0:
            if doomed(job["output"]):
                os.killpg(process.pid, signal.SIGKILL)
                (folder / f"{name}.killed").touch()
                break
            time.sleep(0.01)
        code = process.wait()
    partial = folder / f".{name}.code"
    partial.write_text(str(code))
    partial.rename(folder / f"{name}.code")


def doomed(output: str) -> bool:
    """Whether the time has come for the first attempt at a receipt."""
    kind, key = Path(output).parent.name, Path(output).stem
    if kind == "denoiser":
        work = Path(os.environ["DEFECTLIB_STORE"]) / "work" / f"denoiser-{key}"
        return any(work.rglob("checkpoint.safetensors"))
    return "segmenter" in output or kind == "evaluation"


def status(folder: Path, name: str) -> None:
    code = folder / f"{name}.code"
    print("running" if not code.exists() else "success" if code.read_text() == "0" else "failed")


if __name__ == "__main__":
    what, where, which = sys.argv[1:]
    {"submit": submit, "watch": watch, "status": status}[what](Path(where), Path(which) if what == "submit" else which)
