"""`defectlib click`: a Jupyter server for one notebook that holds the tool and nothing else, until Ctrl+C.

The server listens to this machine alone, asks for a token, and heeds no configuration but its own, so that nobody's
password, port or theme can get in the way; nor does the kernel, which imports nothing from the working directory. The
kernel runs before a page is opened: the page shows what is, and shows it again when it is loaded anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output, output_from_msg

from defectlib import runtime
from defectlib.errors import UserError

_PATIENCE = 10  # seconds for the last requests to end
_NOTEBOOK = "Defect-Click.ipynb"
_SHOWN = ("display_data", "execute_result", "stream", "error")
_DISABLED = (
    "@jupyterlab/apputils-extension:announcements",
    "@jupyterlab/lsp-extension",
    "@jupyterlab/terminal-extension",
    "@jupyter-notebook/terminal-extension",
)
_SETTINGS = {
    # No news from the network, no questions: what is left is a page with one cell.
    "config/labconfig/page_config.json": {"disabledExtensions": dict.fromkeys(_DISABLED, True)},
    "config/lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings": {"adaptive-theme": True},
    "ipython/profile_default/ipython_config.json": {
        "InteractiveShellApp": {"ignore_cwd": True, "exec_PYTHONSTARTUP": False}
    },
}
# On a busy machine Jupyter's widget manager (jupyterlab-widgets 3.0.17) may give up before the kernel has told it of
# its widgets, "model not found", and the tool is not on the page: it is loaded once more then, five times at most.
_WATCH = """
<script>
(() => {
  const timer = setInterval(() => {
    const tries = Number(sessionStorage.getItem("defect-click") ?? 0);
    const failed = document.body.innerText.includes("Error displaying widget");
    if (!document.querySelector(".defect-click") && !failed) return;
    clearInterval(timer);
    sessionStorage.setItem("defect-click", failed ? tries + 1 : 0);
    if (failed && tries < 5) location.reload();
  }, 500);
})();
</script>
"""


def serve(code: str, open_browser: bool = True) -> None:
    """Show in a browser what ``code`` displays, until interrupted; prints its address.

    Args:
        code: Of the notebook's one cell.
        open_browser: Open it in the user's browser, where there is one.

    Raises:
        UserError: The code raised one.
        RuntimeError: It failed for another reason; the message is the traceback.
    """
    endings = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is under nohup; else a terminal was closed
        endings.append(signal.SIGHUP)
    # Until there is a server to stop, all are like Ctrl+C, so that the folder is removed.
    before = {each: signal.signal(each, signal.default_int_handler) for each in endings}
    try:
        with tempfile.TemporaryDirectory(prefix="defectlib-click-") as folder:
            _confine(Path(folder))
            _serve(_server(Path(folder) / "notebooks"), code, open_browser, endings)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _serve(app: Any, code: str, open_browser: bool, endings: list[signal.Signals]) -> None:
    failures: list[Exception] = []

    async def prepare() -> None:
        try:
            await _run_cell(app, code)
            _announce(app, open_browser)
        except Exception as error:
            failures.append(error)
            app.stop()

    app.io_loop.add_callback(prepare)
    for each in endings:  # Jupyter would ask on a terminal, and leave the kernel running without one
        signal.signal(each, lambda *_: app.stop(from_signal=True))
    try:
        app.start()
        _end_requests(app.io_loop.asyncio_loop)
    finally:
        app.clear_instance()
    if failures:
        raise failures[0]


def _end_requests(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the requests that were under way when the server stopped.

    AnyIO lets go of a worker thread when the task that started it is done; the thread of one that never is would keep
    this process from ending.
    """
    if tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks, timeout=_PATIENCE))


def _confine(folder: Path) -> None:
    """Keep what Jupyter reads and writes to ``folder``; installed extensions are still found."""
    from jupyter_core.paths import jupyter_data_dir

    known = os.pathsep.join(filter(None, (os.environ.get("JUPYTER_PATH"), jupyter_data_dir())))
    os.environ |= {"JUPYTER_PATH": known, "JUPYTER_PLATFORM_DIRS": "1"}
    os.environ.pop("JUPYTER_CONFIG_PATH", None)
    for name in ("config", "data", "runtime", "notebooks", "ipython"):
        (folder / name).mkdir()
    os.environ |= {f"JUPYTER_{name.upper()}_DIR": str(folder / name) for name in ("config", "data", "runtime")}
    os.environ["IPYTHONDIR"] = str(folder / "ipython")
    for name, values in _SETTINGS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


def _server(root: Path) -> Any:
    from notebook.app import JupyterNotebookApp
    from traitlets.config import Config

    settings = Config()
    settings.ServerApp.update(ip="127.0.0.1", root_dir=str(root), log_level=logging.ERROR)
    settings.ServerApp.update(open_browser=False, answer_yes=True, allow_root=True, terminals_enabled=False)
    settings.IdentityProvider.token = secrets.token_urlsafe(24)
    settings.KernelManager.transport_encryption = "auto"
    settings.KernelSpecManager.kernel_dirs = []  # this interpreter, whatever kernels are installed
    JupyterNotebookApp.load_other_extensions = False
    app = JupyterNotebookApp.initialize_server(argv=[], config=settings)
    app.default_url = f"/notebooks/{_NOTEBOOK}"
    return app


async def _run_cell(app: Any, code: str) -> None:
    """Run the cell in a kernel of its own and write the notebook with what it shows, as one that is trusted."""
    session = await app.session_manager.create_session(
        path=_NOTEBOOK, name=_NOTEBOOK, type="notebook", kernel_name="python3"
    )
    client = app.kernel_manager.get_kernel(session["kernel"]["id"]).client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=120)
        here = f"import os; os.chdir({str(Path.cwd())!r})"  # paths in the environment may be relative
        await client.execute_interactive(here, silent=True, timeout=None)
        messages: list[dict[str, Any]] = []
        await client.execute_interactive(code, timeout=None, output_hook=messages.append)
    finally:
        client.stop_channels()
    outputs = [output_from_msg(message) for message in messages if message["msg_type"] in _SHOWN]
    for output in outputs:
        if output.output_type == "error":
            of_user = output.ename.startswith("UserError")
            raise UserError(output.evalue) if of_user else RuntimeError("\n".join(output.traceback))
    model = {"type": "notebook", "format": "json", "content": _notebook(code, outputs)}
    saved = app.contents_manager.save(model, _NOTEBOOK)
    if hasattr(saved, "__await__"):
        await saved


def _notebook(code: str, outputs: list[NotebookNode]) -> NotebookNode:
    shown = [new_output("display_data", {"text/html": _WATCH, "text/plain": ""}), *outputs]
    hidden = {"trusted": True, "jupyter": {"source_hidden": True}}
    cell = new_code_cell(code, execution_count=1, outputs=shown, metadata=hidden)
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    return new_notebook(cells=[cell], metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _announce(app: Any, open_browser: bool) -> None:
    print(f"{app.connection_url}notebooks/{_NOTEBOOK}?token={app.identity_provider.token}", flush=True)
    runtime.say("Open this address in a browser; Ctrl+C here ends it, and nothing is lost.")
    # Without a screen, a browser in text mode would take the terminal.
    has_screen = not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if open_browser and has_screen:
        # By a file that only this user can read, as every user can read the browser's command line. A thread that
        # is started by a daemon is one too: a browser that stays in the foreground is not waited for.
        threading.Thread(target=app.launch_browser, daemon=True).start()
