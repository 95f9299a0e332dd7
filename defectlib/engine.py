"""The one build system: what is missing in the store is made in parallel, as tasks of dask.distributed.

:func:`build` walks from the stages asked for to what they need and submits each missing one as a task that calls
:meth:`defectlib.store.Store.build`. Where tasks run:

- with ``DASK_SCHEDULER_ADDRESS``, on the workers of that scheduler, which share the store's folder;
- with a cluster's name (``--cluster slurm``), on workers that the cluster's scheduler starts;
- else on this machine, in as many processes as cores (``jobs``), one thread each; one job needs no dask at all.

Stages on CUDA ask workers for the resource ``GPU``. Stages that time something run after everything else, one at a
time. A worker that dies loses nothing: its task is tried again and resumes from its checkpoint. Loads no torch.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.live import Live

from defectlib import runtime
from defectlib.errors import UserError
from defectlib.settings import Stage
from defectlib.store import Runner, Store

if TYPE_CHECKING:
    from distributed import Client, Future

Cluster = Literal["slurm", "kubernetes"]

JOBS = "DEFECTLIB_JOBS"
"""Environment variable: how many stages are made at a time; the number of cores, or 1 with a GPU, where not set."""
ADDRESS = "DASK_SCHEDULER_ADDRESS"
TOPIC = "defectlib-progress"
SCHEDULER_TIMEOUT = "30 s"
LOG_SECONDS = 30  # between two lines where standard error is no terminal


def _runner(module: str) -> Runner:
    """``module.run``, loaded when first called: a process that makes one artifact needs few of the libraries."""

    def run(settings: Stage, inputs: Mapping[str, Path], out: Path) -> None:
        import_module(module).run(settings, inputs, out)

    return run


#: Every stage's name and what makes its artifact.
RUNNERS: dict[str, Runner] = {
    "denoiser": _runner("defectlib.defectgen.training"),
    "synthetic": _runner("defectlib.defectgen.synthesis"),
    "live_nets": _runner("defectlib.defectgen.live"),
    "fidelity": _runner("defectlib.defectgen.fidelity"),
    "sampler_timing": _runner("defectlib.defectgen.timing"),
    "receptive_field": _runner("defectlib.defectgen.receptive_field"),
    "density": _runner("defectlib.defectgen.density"),
    "rival": _runner("defectlib.rivals.training"),
    "rival_pairs": _runner("defectlib.rivals.sampling"),
    "pasted_pairs": _runner("defectlib.rivals.copy_paste"),
    "segmenter": _runner("defectlib.segmentation.training"),
    "evaluation": _runner("defectlib.segmentation.evaluation"),
    "segmenter_timing": _runner("defectlib.segmentation.latency"),
    "throughput": _runner("defectlib.experiments.throughput"),
    "oracle": _runner("defectlib.segmentation.oracle"),
    "judgement": _runner("defectlib.experiments.judging"),
    "clicker": _runner("defectclick.training"),
    "clicking": _runner("defectclick.evaluation"),
    "notebook": _runner("defectlib.publishing.runner"),
}


def name_of(stage: Stage) -> str:
    """What an artifact is called in the store: ``STAGE/KEY``."""
    return f"{stage.stage}/{stage.key()}"


def missing(stages: Iterable[Stage], store: Store) -> dict[str, Stage]:
    """Of ``stages`` and all they need, what is not in the store, by name, inputs first.

    What an artifact was made from is not needed once the artifact is there.
    """
    found: dict[str, Stage] = {}
    seen: set[str] = set()

    def visit(stage: Stage) -> None:
        name = name_of(stage)
        if name in seen:
            return
        seen.add(name)
        if store.find(stage) is None:
            for needed in stage.inputs().values():
                visit(needed)
            found[name] = stage

    for stage in stages:
        visit(stage)
    return found


def build(stages: Iterable[Stage], store: Store, *, jobs: int | None = None, cluster: Cluster | None = None) -> None:
    """Make what is missing of ``stages`` and of what they need.

    Where one stage fails, what does not depend on it is made all the same; then its error is raised.

    Args:
        stages: What is wanted.
        store: Where artifacts are found and kept.
        jobs: Stages at a time on this machine; ``$DEFECTLIB_JOBS``, else as many as cores, if None.
        cluster: Start workers through this cluster's scheduler, as configured for dask-jobqueue or dask-kubernetes.

    Raises:
        UserError: No scheduler answers, or a stage cannot be made for a reason the user can mend.
    """
    todo = missing(stages, store)
    if not todo:
        return
    jobs = jobs or int(os.environ.get(JOBS, 0)) or _default_jobs(todo.values())
    remote = cluster is not None or ADDRESS in os.environ
    if min(jobs, len(todo)) == 1 and not remote:
        for number, stage in enumerate(todo.values(), start=1):
            runtime.say(f"{title(stage)} ({number} of {len(todo)})")
            store.build(stage, RUNNERS)
        return
    with _client(jobs, cluster) as client, Board(todo, jobs) as board:
        client.subscribe_topic(TOPIC, lambda event: board.report(event[1]))
        _run(client, todo, store, board)


def _run(client: Client, todo: Mapping[str, Stage], store: Store, board: Board) -> None:
    """Submit the stages in three waves: what needs no timing, the timings one by one, the rest."""
    late: dict[str, Stage] = {}  # timings, and what needs one
    for name, stage in todo.items():  # inputs come first
        if stage.timed or any(name_of(needed) in late for needed in stage.inputs().values()):
            late[name] = stage
    waves = [[name for name in todo if name not in late]]
    waves += [[name] for name, stage in late.items() if stage.timed]
    waves += [[name for name, stage in late.items() if not stage.timed]]
    futures: dict[str, Future] = {}
    errors: list[BaseException] = []
    for wave in filter(None, waves):
        for name in wave:
            needed = [futures[key] for key in map(name_of, todo[name].inputs().values()) if key in futures]
            gpus = {"GPU": getattr(todo[name], "processes", 1)} if device(todo[name]) == "cuda" else None
            futures[name] = client.submit(_work, todo[name], store.root, needed, key=name, resources=gpus)
        errors += _finished(client, {name: futures[name] for name in wave}, board)
    if errors:
        raise errors[0]


def _finished(client: Client, futures: Mapping[str, Future], board: Board) -> list[BaseException]:
    """Wait for all of them; what went wrong, once for each stage that failed by itself."""
    from distributed import as_completed

    errors: dict[str, BaseException] = {}
    names = {future.key: name for name, future in futures.items()}
    for future in as_completed(futures.values(), loop=client.loop, raise_errors=False):
        error = future.exception() if future.status == "error" else None
        if error is not None:  # a stage that needs one that failed has the same error
            errors.setdefault(str(error), error)
        board.done(names[future.key], error or future.result())
    return list(errors.values())


def _work(stage: Stage, root: Path, needed: list[float]) -> float:
    """The task, on a worker: make one stage, whose inputs are there, and tell how far it is; the seconds it took."""
    from distributed import get_worker

    worker, started = get_worker(), time.monotonic()
    os.environ[JOBS] = "1"  # what this process starts, such as a notebook's kernel, works in itself
    os.environ.pop(ADDRESS, None)
    runtime.report = lambda state: worker.log_event(TOPIC, {"name": name_of(stage), **state})
    try:
        Store(root).build(stage, RUNNERS)
    finally:
        runtime.report = None
    return time.monotonic() - started


# Where tasks run ----------------------------------------------------------------------------------------------------


def _default_jobs(stages: Iterable[Stage]) -> int:
    return 1 if any(device(stage) == "cuda" for stage in stages) else runtime.cores()


def device(stage: Stage) -> str:
    """Where the stage itself, not what it needs, computes: what evaluates does so where the network was trained."""
    return next((s.device for s in (stage, *stage.inputs().values()) if hasattr(s, "device")), "cpu")


@contextmanager
def _client(jobs: int, cluster: Cluster | None) -> Iterator[Client]:
    """A client of the scheduler in the environment, or of a cluster that lives as long as it is needed."""
    import dask
    from distributed import Client, LocalCluster

    quiet = {"distributed.logging.distributed": "critical"}  # it logs heartbeats that fail while it closes
    threads = max(1, runtime.cores() // jobs)
    local = {
        "distributed.worker.daemon": False,  # a notebook's kernel and a DataLoader start processes
        "distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": threads,
    }
    with dask.config.set(quiet | local):
        if cluster is None and (address := os.environ.get(ADDRESS)):
            try:
                with Client(address, timeout=SCHEDULER_TIMEOUT, set_as_default=False) as client:
                    client.get_versions(check=True)
                    yield client
            except (OSError, ValueError) as error:
                raise UserError(f"{ADDRESS} {address}: {error}; start `dask scheduler` and workers there") from error
            return
        workers = (
            _cluster(cluster)
            if cluster
            else LocalCluster(
                jobs, threads_per_worker=1, memory_limit=None, dashboard_address=None, silence_logs="CRITICAL"
            )
        )
        with workers, Client(workers, set_as_default=False) as client:
            yield client


#: What starts workers through a cluster's own scheduler.
_CLUSTERS: dict[Cluster, tuple[str, str]] = {
    "slurm": ("dask_jobqueue", "SLURMCluster"),
    "kubernetes": ("dask_kubernetes.operator", "KubeCluster"),
}


def _cluster(name: Cluster) -> Any:
    """Workers of a cluster, as dask's configuration describes them (``workflow/dask.yaml``); they come and go."""
    module, kind = _CLUSTERS[name]
    try:
        found = getattr(import_module(module), kind)
    except ImportError as error:
        raise UserError(f"--cluster {name} needs {module.split('.')[0]}; pip install 'defectlib[cluster]'") from error
    import dask

    try:
        started = found()
    except (ValueError, OSError) as error:
        raise UserError(f"--cluster {name}: {error}; see the chapter on reproducing it on a cluster") from error
    started.adapt(minimum=0, maximum=dask.config.get("defectlib.workers", 16))
    return started


# Progress -----------------------------------------------------------------------------------------------------------


def title(stage: Stage) -> str:
    """What is made, in a few words: ``segmenter UNet on softgel``."""

    def first(name: str) -> Any:  # of the stage, or of what it needs
        return next((getattr(s, name) for s in (stage, *stage.inputs().values()) if getattr(s, name, None)), None)

    if notebook := getattr(stage, "notebook", None):
        return f"notebook {notebook}"
    data, net = first("data"), getattr(stage, "net", None)
    product = getattr(data, "product", None) or getattr(getattr(data, "root", None), "name", None)
    words = (stage.stage, first("model"), getattr(net, "kind", None), product and f"on {product}")
    return " ".join(word for word in words if word)


class Board:
    """One live line: stages done of all, what runs with its own step and loss, the time left.

    The time left is what the remaining steps take at the rates seen in this run, by kind of stage; a stage of a kind
    that has not been seen takes what those of the others take on average.
    """

    def __init__(self, todo: Mapping[str, Stage], jobs: int) -> None:
        self.todo, self.jobs = todo, jobs
        self.running: dict[str, dict[str, Any]] = {}
        self.finished: set[str] = set()
        self.seconds: dict[tuple, tuple[float, float]] = {}  # of the last stage of a kind, and of one of its steps
        self.console = Console(stderr=True, quiet=runtime.is_quiet())
        self.live = Live(get_renderable=self.line, console=self.console, transient=True, refresh_per_second=2)
        self.logged = time.monotonic()

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def report(self, state: dict[str, Any]) -> None:
        """Take in what a worker says: a progress bar's state, or a line for the user."""
        name = state["name"]
        if "say" in state:
            self.console.print(state["say"], highlight=False, markup=False)
        elif name in self.todo and name not in self.finished and state["total"]:
            self.running[name] = state
            if state["n"] > state["initial"]:
                self._timed(name, state["elapsed"] * state["total"] / (state["n"] - state["initial"]))
        if not self.console.is_terminal and time.monotonic() - self.logged > LOG_SECONDS:
            self.logged = time.monotonic()
            self.console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

    def done(self, name: str, outcome: BaseException | float) -> None:
        """Take a stage off the board: say what went wrong with it, or note how many seconds it took."""
        self.running.pop(name, None)
        self.finished.add(name)
        if isinstance(outcome, BaseException):
            self.console.print(f"{title(self.todo[name])}: {outcome}", highlight=False, markup=False)
        else:
            self._timed(name, outcome)

    def _timed(self, name: str, seconds: float) -> None:
        self.seconds[_kind(self.todo[name])] = seconds, seconds / _steps(self.todo[name])

    def line(self) -> str:
        """The line as it stands."""
        parts = [f"{len(self.finished)} of {len(self.todo)} done"]
        if seconds := self.seconds_left():
            parts.append(f"about {seconds // 60 + 1:.0f} min left")
        for name, state in list(self.running.items()):
            loss = f", {state['postfix']}" if state["postfix"] else ""
            parts.append(f"{title(self.todo[name])} {state['n']}/{state['total']}{loss}")
        return " · ".join(parts)

    def seconds_left(self) -> float:
        """0 while nothing is known yet."""
        if not self.seconds:
            return 0.0
        usual = sum(stage for stage, _ in self.seconds.values()) / len(self.seconds)
        left = 0.0
        for name in self.todo.keys() - self.finished:
            stage, state = self.todo[name], self.running.get(name)
            known = self.seconds.get(_kind(stage))
            seconds = known[1] * _steps(stage) if known else usual
            left += seconds * (1 - state["n"] / state["total"] if state else 1)
        return left / self.jobs


def _kind(stage: Stage) -> tuple:
    return stage.stage, getattr(stage, "model", None), getattr(getattr(stage, "net", None), "kind", None)


def _steps(stage: Stage) -> int:
    return getattr(stage, "steps", getattr(stage, "count", 1))


def summary(stages: Iterable[Stage], store: Store) -> str:
    """What there is to be made, as a dry run prints it: a line each, and how many of each kind."""
    todo = missing(stages, store)
    kinds = Counter(stage.stage for stage in todo.values())
    lines = [f"{title(stage)} ({stage.key()})" for stage in todo.values()]
    counted = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    return "\n".join([*lines, f"{len(todo):,} to be made{': ' if kinds else ''}{counted}"])
