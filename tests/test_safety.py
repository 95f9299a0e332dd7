"""What no code here may do: unpickle, run what a file says, build shell commands from strings, unpack without a filter.

Read off the syntax trees of the package, the benchmarks, the notebooks' cells and the workflow, and tried on code that
does each of these things.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from defectlib.runtime import REPOSITORY

#: Calls that are never right, by the end of their name.
NEVER = {
    "eval": "runs text", "exec": "runs text", "compile": "runs text", "__import__": "imports by a name from elsewhere",
    "os.system": "runs a shell", "os.popen": "runs a shell", "subprocess.getoutput": "runs a shell",
    "subprocess.getstatusoutput": "runs a shell", "pickle.load": "unpickles", "pickle.loads": "unpickles",
    "joblib.load": "unpickles", "dill.load": "unpickles", "pd.read_pickle": "unpickles", "yaml.load": "makes objects",
    "yaml.load_all": "makes objects", "yaml.full_load": "makes objects", "yaml.unsafe_load": "makes objects",
    "shelve.open": "unpickles", "marshal.loads": "unpickles", "marshal.load": "unpickles",
    "tempfile.mktemp": "can be forestalled", "extractall": "writes wherever an archive says",
    "unpack_archive": "writes wherever an archive says",
}  # fmt: skip
#: Modules that are never needed.
MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "commands", "pty"}
#: Calls that need a keyword with this value.
WITH = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "from_pretrained": ("use_safetensors", True),
}
#: Loads no weights: how images are scaled, in JSON.
EXCEPT = ("SamProcessor.from_pretrained",)


def faults(source: str, name: str) -> list[str]:
    """What is wrong with Python code, one line each."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found += [f"{name}:{node.lineno}: {fault}" for fault in _call_faults(node)]
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            taken = MODULES & {module.split(".")[0] for module in modules}
            found += [f"{name}:{node.lineno}: imports {module}" for module in sorted(taken)]
    return found


def _call_faults(call: ast.Call) -> Iterator[str]:
    called = ast.unparse(call.func)
    # `model.eval()` and `re.compile()` are methods and functions of other kinds: builtins are called by name alone.
    for bad, why in NEVER.items():
        if called == bad or (bad in ("extractall", "unpack_archive") and called.endswith(f".{bad}")):
            yield f"{called} {why}"
    values = {keyword.arg: keyword.value for keyword in call.keywords}
    if "shell" in values and not (isinstance(values["shell"], ast.Constant) and values["shell"].value is False):
        yield f"{called} runs a shell"
    if called.startswith("subprocess.") and call.args and _is_text(call.args[0]):
        yield f"{called} gets one string; give a list of words"
    for wanting, (keyword, wanted) in WITH.items():
        if (called == wanting or called.endswith(f".{wanting}")) and called not in EXCEPT:
            given = values.get(keyword)
            if not isinstance(given, ast.Constant) or given.value is not wanted:
                yield f"{called} without {keyword}={wanted}"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


PYTHON = sorted(
    path for folder in ("defectlib", "benchmarks") for path in (REPOSITORY / folder).rglob("*.py")
)  # fmt: skip
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_code_runs_and_unpickles_nothing_that_a_file_says(path):
    assert not faults(path.read_text(encoding="utf-8"), str(path.relative_to(REPOSITORY)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_do_neither(path: Path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert not re.search(r"^\s*[!%]", source, re.MULTILINE), f"cell {number} has a command of IPython's"
            assert not faults(source, f"{path.name}, cell {number}")


def test_images_that_a_user_hands_over_choose_no_decoder():
    opened = 0
    for path in (REPOSITORY / "defectlib" / "data").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                opened += 1
                assert "formats" in {keyword.arg for keyword in node.keywords}, f"{path}:{node.lineno}"
    assert opened


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import dill as d",
        "pickle.load(file)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trust)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "compile(text, '', 'exec')",
        "os.system(command)",
        "os.popen(command)",
        "subprocess.run(command, shell=True)",
        "subprocess.run(command, shell=flag)",
        "subprocess.run(f'ls {path}')",
        "tarfile.open(path).extractall(where)",
        "ZipFile(path).extractall()",
        "shutil.unpack_archive(path)",
        "Model.from_pretrained(folder)",
        "pd.read_pickle(path)",
    ],
)
def test_each_is_found(code):
    assert len(faults(code, "x.py")) >= 1


@pytest.mark.parametrize(
    "code",
    [
        "model.eval()",
        "re.compile(text)",
        "torch.compile(net)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "subprocess.run(['ls', path])",
    ],
)
def test_what_is_safe_is_passed(code):
    assert not faults(code, "x.py")
