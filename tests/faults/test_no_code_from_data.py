"""Nothing in our source runs code from data: found in its syntax, so that a new line cannot slip in unseen."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("vision", "datagen", "train", "eval", "dactyl", "examples")

FORBIDDEN_CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "compile": "makes text into code",
    "__import__": "imports by name",
    "pickle.load": "runs what a pickle says",
    "pickle.loads": "runs what a pickle says",
    "pickle.Unpickler": "runs what a pickle says",
    "yaml.load": "makes objects of tags: vision.configuration.strict_yaml.load",
    "yaml.unsafe_load": "makes objects of tags",
    "yaml.full_load": "makes objects of tags",
    "os.system": "a shell",
    "os.popen": "a shell",
    "tempfile.mktemp": "a name that another may take first",
    "wds.WebDataset": "pipe: URLs and pickles: vision.storage.datasets",
    "webdataset.WebDataset": "pipe: URLs and pickles: vision.storage.datasets",
    "tar.extract": "writes where a member says",
    "tar.extractall": "writes where a member says",
}
ALLOWED = {
    # Programs that a user gives by name are programs: SECURITY.md says so.
    ("datagen/policy/trained.py", "importlib.import_module"),
    ("datagen/policy/trained.py", "torch.jit.load"),
    ("datagen/policy/trained.py", "torch.export.load"),
    ("dactyl/commands.py", "importlib.import_module"),  # of its own table
    ("datagen/workers/child.py", "pickle.loads"),  # of what the line itself has just pickled
    ("datagen/render/classic.py", "importlib.import_module"),  # of two modules that its own lines name
}
LISTENERS = ("add_insecure_port", "add_secure_port", "HTTPServer", "TCPServer", "socket.bind", "start_server")


def dotted(node: ast.expr) -> str:
    """``a.b.c`` of an expression that is a name; else empty, with what follows the last dot."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def findings(path: str, source: str) -> Iterator[str]:
    """Lines of a module that might run code from data."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name, where = dotted(node.func), f"{path}:{node.lineno}"
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        if (path, name) in ALLOWED:
            continue
        if name in FORBIDDEN_CALLS:
            yield f"{where}: {name}: {FORBIDDEN_CALLS[name]}"
        written_out = bool(node.args) and isinstance(node.args[0], ast.Constant)
        if name in ("torch.jit.load", "torch.export.load") or (
            name.endswith("importlib.import_module") and not written_out
        ):
            yield f"{where}: {name}: runs what a file or a name says"
        if name in ("torch.load", "load_from_checkpoint") and not _is(options.get("weights_only"), True):
            yield f"{where}: torch.load without weights_only=True"
        if name.endswith(("np.load", "numpy.load")) and _is(options.get("allow_pickle"), True):
            yield f"{where}: np.load with allow_pickle"
        if "shell" in options and not _is(options["shell"], False):
            yield f"{where}: a shell"
        if name.endswith("Image.open") and "formats" not in options:
            yield f"{where}: Image.open without formats: Pillow hands PostScript to Ghostscript"
        if name.endswith(LISTENERS) and "127.0.0.1" not in ast.unparse(node):
            yield f"{where}: listens beyond loopback"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def modules() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def test_no_line_runs_code_from_data() -> None:
    found = [line for path in modules() for line in findings(str(path.relative_to(ROOT)), path.read_text())]
    assert not found, "\n".join(found)
    assert len(modules()) > 80, "every room was walked"


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)", "pickle.loads(data)", "yaml.load(text, Loader=L)", "torch.load(path)", "os.system(command)",
        "torch.load(path, weights_only=False)", "subprocess.run(command, shell=True)", "np.load(p, allow_pickle=True)",
        "with Image.open(path) as picture: pass", "server.add_insecure_port('0.0.0.0:5004')", "socket.bind(('', 1))",
        "importlib.import_module(name)", "torch.jit.load(path)", "tar.extractall(folder)", "wds.WebDataset(urls)",
    ],
)  # fmt: skip
def test_the_rules_themselves(source: str) -> None:
    assert list(findings("vision/x.py", source))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()", "torch.load(path, weights_only=True)", "yaml.safe_load(text)", "np.load(path)", "re.compile(p)",
        "importlib.import_module('triton')",
        "subprocess.run(['ls'])", "Image.open(path, formats=['PNG'])", "add_insecure_port(f'127.0.0.1:{port}')",
    ],
)  # fmt: skip
def test_what_is_harmless_passes(source: str) -> None:
    assert not list(findings("vision/x.py", source))
