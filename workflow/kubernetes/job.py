"""What cluster-generic needs to know of Kubernetes: how a job is submitted, how it fares, how it is cancelled.

    job.py submit JOBSCRIPT     creates a Job and prints its name
    job.py status NAME          prints running, success or failed
    job.py cancel NAME...       deletes Jobs

The pod sees the claim CLAIM below MOUNT, where the checkout with its environment and the store lie, exactly as the
process that runs Snakemake does; the three are read from the environment, as are the IMAGE and the NAMESPACE.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NAMESPACE = os.environ.get("NAMESPACE", "default")
CLAIM = os.environ.get("CLAIM", "defectlib")
MOUNT = os.environ.get("MOUNT", "/defectlib")
IMAGE = os.environ.get("IMAGE", "python:3.11")


def manifest(jobscript: Path) -> dict[str, Any]:
    """The Job of a script that Snakemake wrote; what it takes stands in the script's second line."""
    line = next(line for line in jobscript.read_text().splitlines() if line.startswith("# properties = "))
    asked = json.loads(line.removeprefix("# properties = "))
    takes = asked["resources"]
    limits = {"memory": f"{takes['mem_mb']}M"} | ({"nvidia.com/gpu": takes["gpu"]} if takes.get("gpu") else {})
    container = {
        "name": "job",
        "image": IMAGE,
        "command": ["sh", str(jobscript)],
        "workingDir": str(Path.cwd()),
        "env": [{"name": name, "value": value} for name, value in os.environ.items() if name.startswith("DEFECTLIB_")],
        "resources": {"requests": {"cpu": asked.get("threads", takes.get("_cores", 1))}, "limits": limits},
        "volumeMounts": [{"name": "shared", "mountPath": MOUNT}],
    }
    volume = {"name": "shared", "persistentVolumeClaim": {"claimName": CLAIM}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "defectlib-"},
        "spec": {
            "backoffLimit": 0,  # trying again is Snakemake's business
            "activeDeadlineSeconds": 60 * takes["runtime"],
            "ttlSecondsAfterFinished": 86_400,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}},
        },
    }


def kubectl(*arguments: str, given: str = "") -> str:
    """The output of a command; what it says on standard error is shown."""
    command = ["kubectl", "--namespace", NAMESPACE, *arguments]
    return subprocess.run(command, input=given, check=True, stdout=subprocess.PIPE, text=True).stdout


def status(name: str) -> str:
    """How a Job fares; one that is not there any more has failed."""
    found = kubectl("get", name, "--ignore-not-found", "--output", "json")
    fares = json.loads(found).get("status", {}) if found else {"failed": 1}
    return "success" if fares.get("succeeded") else "failed" if fares.get("failed") else "running"


if __name__ == "__main__":
    what, *which = sys.argv[1:]
    if what == "submit":
        given = json.dumps(manifest(Path(which[0])))
        print(kubectl("create", "--filename", "-", "--output", "name", given=given).strip())
    elif what == "status":
        print(status(which[0]))
    else:
        kubectl("delete", "--wait=false", "--ignore-not-found", *which)
