# The one workflow: a job for each stage that a notebook needs, one for each notebook, one for the book.
#
#     snakemake --cores all --rerun-triggers mtime --config profile=cpu jobs=1        (much as `make book` calls it)
#
# Jobs follow the dates of files alone: when an artifact must be built again is the store's business, and plan files
# get a new date only with new content. An executor plugin carries the same file to a cluster, nothing else changed.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from defectlib.errors import UserError
from defectlib.publishing import jobs
from defectlib.store import Store
from defectlib.studies import plans

PROFILE = str(config.get("profile", "cpu"))
THREADS = max(1, workflow.cores // int(config.get("jobs", 1)))  # so that `jobs` of them fill the cores
BUILD = Path("build")
BOOK = BUILD / "_build" / "html" / "index.html"
BOOK_RECEIPT = BUILD / "receipts" / "book"

try:
    PLANS = {name: plans.plan(name, {"profile": PROFILE}) for name in plans.NOTEBOOKS}
    JOBS = jobs.collect([stage for plan in PLANS.values() for stage in plan], Store(), BUILD)
except UserError as error:
    raise WorkflowError(str(error)) from None

for name, plan in PLANS.items():
    jobs.write_notebook_plan(BUILD, name, PROFILE, plan)
jobs.write_if_changed(BUILD / "plans" / "code.json", jobs.source_digest())
jobs.write_if_changed(BUILD / "plans" / "book.json", [PROFILE, *plans.NOTEBOOKS])
if not BOOK.exists():
    BOOK_RECEIPT.unlink(missing_ok=True)


wildcard_constraints:
    key="[0-9a-f]{16}",
    name="|".join(plans.NOTEBOOKS),
    profile=PROFILE,


# What is asked for: the book, and every artifact that a notebook read, so that one that was deleted is made again.
rule all:
    default_target: True
    localrule: True
    input:
        BOOK_RECEIPT,
        [jobs.receipt_path(stage, BUILD) for plan in PLANS.values() for stage in plan],


rule book:
    localrule: True
    input:
        [path for path in Path("book").rglob("*") if path.is_file()],
        "_config.yml",
        BUILD / "plans" / "code.json",
        BUILD / "plans" / "book.json",
        committed=[f"notebooks/{name}.ipynb" for name in PLANS],
        executed=[BUILD / "notebooks" / PROFILE / f"{name}.ipynb" for name in PLANS],
    output:
        touch(BOOK_RECEIPT),
    message:
        "the book"
    shell:
        "{sys.executable:q} -m defectlib publish {input.executed:q}"


rule notebook:
    input:
        BUILD / "plans" / "code.json",
        BUILD / "plans" / "notebooks" / "{profile}" / "{name}.json",
        receipts=lambda wildcards: [jobs.receipt_path(stage, BUILD) for stage in PLANS[wildcards.name]],
    output:
        BUILD / "notebooks" / "{profile}" / "{name}.ipynb",
    threads: THREADS
    resources:
        mem_mb=4000,
        gpu=lambda wildcards: int(any(jobs.needs_gpu(stage) for stage in PLANS[wildcards.name])),
    message:
        "notebook {wildcards.name}"
    shell:
        "{sys.executable:q} -m defectlib run-notebook notebooks/{wildcards.name}.ipynb {output:q}"
        " -p profile {wildcards.profile:q}"


# A rule for each kind of stage: denoiser, synthetic, segmenter, ...
for kind in sorted({job.settings.stage for job in JOBS.values()}):

    rule:
        name:
            kind
        input:
            lambda wildcards, kind=kind: JOBS[f"{kind}/{wildcards.key}"].inputs,
        output:
            BUILD / "receipts" / kind / "{key}.json",
        params:
            plan=str(BUILD / "plans" / kind / "{key}.json"),
            title=lambda wildcards, kind=kind: JOBS[f"{kind}/{wildcards.key}"].title,
        threads: THREADS
        resources:
            mem_mb=4000,
            gpu=lambda wildcards, kind=kind: int(jobs.needs_gpu(JOBS[f"{kind}/{wildcards.key}"].settings)),
        message:
            "{params.title}"
        shell:
            "{sys.executable:q} -m defectlib build --settings {params.plan:q} --receipt {output:q}"
