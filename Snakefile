# The one workflow: a job for each stage that a notebook needs, one for each notebook, one for the book.
#
#     snakemake --cores all --rerun-triggers mtime --config profile=cpu jobs=1        (much as `make book` calls it)
#     snakemake -n --config profile=gpu dataset=defect-spectrum     every table of a dataset; nothing of it need be here
#
# Jobs follow the dates of files alone: when an artifact must be built again is the store's business, and plan files
# get a new date only with new content. An executor plugin carries the same file to a cluster, nothing else changed:
# see workflow/ for profiles of Slurm and Kubernetes.

import sys
from functools import cache, partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

from defectlib.config import STAGES
from defectlib.errors import UserError
from defectlib.publishing import jobs
from defectlib.runtime import REPOSITORY
from defectlib.store import Store
from defectlib.studies import dataset, plans

PROFILE = str(config.get("profile", "cpu"))
LABEL = Path(PROFILE).stem
CORES = workflow.resource_settings.cores or 4  # of a cluster they are not counted
# So that `jobs` of them fill the cores of one machine.
THREADS = int(config.get("threads", 0)) or max(1, CORES // int(config.get("jobs", 1)))
BUILD = Path("build")
BOOK = BUILD / "_build" / "html" / "index.html"
BOOK_RECEIPT = BUILD / "receipts" / "book"


def runs_asked_for():
    """Notebooks with parameters, by the names of their outputs."""
    if "dataset" not in config:
        return {name: dataset.Run(name, name, {"profile": PROFILE}) for name in plans.NOTEBOOKS}
    folder = str(config["dataset"]).lower().replace("-", "_")
    return {f"{folder}/{run.name}": run for run in dataset.runs(str(config["dataset"]), PROFILE)}


@cache
def planned(name):
    """The stages that a notebook builds, inputs not listed."""
    return plans.plan(RUNS[name].notebook, RUNS[name].parameters)


def receipts(name):
    return [jobs.receipt_path(stage, BUILD) for stage in planned(name)]


try:
    RUNS = runs_asked_for()
    if workflow.is_main_process:
        JOBS = jobs.collect([stage for name in RUNS for stage in planned(name)], Store(), BUILD)
        job = JOBS.__getitem__
    else:  # this process does one job, or a few, of what another one has planned
        job = cache(partial(jobs.written, BUILD))
except UserError as error:
    raise WorkflowError(str(error)) from None

if workflow.is_main_process:
    jobs.date_back(BUILD)
    for name, run in RUNS.items():
        plan = BUILD / "plans" / "notebooks" / LABEL / f"{name}.json"
        jobs.write_notebook_plan(plan, run.notebook, run.parameters, planned(name))
    jobs.write_if_changed(BUILD / "plans" / "code.json", jobs.source_digest())
    jobs.write_if_changed(BUILD / "plans" / "book.json", [PROFILE, *RUNS])
    if not BOOK.exists():
        BOOK_RECEIPT.unlink(missing_ok=True)

EXECUTED = [BUILD / "notebooks" / LABEL / f"{name}.ipynb" for name in RUNS]


wildcard_constraints:
    key="[0-9a-f]{16}",
    name="|".join(RUNS),
    label=LABEL,


# What is asked for: the book, or the tables of a dataset, and every artifact that a notebook read, so that one that was
# deleted is made again.
rule all:
    default_target: True
    localrule: True
    input:
        EXECUTED if "dataset" in config else BOOK_RECEIPT,
        lambda wildcards: [receipt for name in RUNS for receipt in receipts(name)],


rule book:
    localrule: True
    input:
        [path for path in Path("book").rglob("*") if path.is_file()],
        "_config.yml",
        BUILD / "plans" / "code.json",
        BUILD / "plans" / "book.json",
        committed=[f"notebooks/{run.notebook}.ipynb" for run in RUNS.values()],
        executed=EXECUTED,
    output:
        touch(BOOK_RECEIPT),
    message:
        "the book"
    shell:
        "{sys.executable:q} -m defectlib publish {input.executed:q}"


rule notebook:
    input:
        BUILD / "plans" / "code.json",
        BUILD / "plans" / "notebooks" / "{label}" / "{name}.json",
        receipts=lambda wildcards: receipts(wildcards.name),
    output:
        BUILD / "notebooks" / "{label}" / "{name}.ipynb",
    params:
        notebook=lambda wildcards: str(REPOSITORY / "notebooks" / f"{RUNS[wildcards.name].notebook}.ipynb"),
        values=lambda wildcards: RUNS[wildcards.name].document,
    threads: THREADS
    resources:
        gpu=lambda wildcards: int(any(jobs.gpus(stage) for stage in planned(wildcards.name))),
        mem_mb=8000,
        runtime=240,
    message:
        "notebook {wildcards.name}"
    shell:
        "{sys.executable:q} -m defectlib run-notebook {params.notebook:q} {output:q} -y {params.values:q}"


# A rule for each kind of stage: denoiser, synthetic, segmenter, ...
for kind in STAGES:

    rule:
        name:
            kind
        input:
            lambda wildcards, kind=kind: job(f"{kind}/{wildcards.key}").inputs,
            plan=ancient(BUILD / "plans" / kind / "{key}.json"),
        output:
            BUILD / "receipts" / kind / "{key}.json",
        params:
            title=lambda wildcards, kind=kind: job(f"{kind}/{wildcards.key}").title,
        threads: THREADS
        resources:
            gpu=lambda wildcards, kind=kind: jobs.gpus(job(f"{kind}/{wildcards.key}").settings),
            mem_mb=lambda wildcards, kind=kind: jobs.memory(job(f"{kind}/{wildcards.key}").settings),
            runtime=lambda wildcards, kind=kind: jobs.minutes(job(f"{kind}/{wildcards.key}").settings),
        message:
            "{params.title}"
        shell:
            "{sys.executable:q} -m defectlib build --settings {input.plan:q} --receipt {output:q}"
