"""The rooms: who may import whom, and that importing starts nothing."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent

ROOMS = (
    ("predict", "utils.command_line", "utils.local_server", "train", "deploy"),
    ("utils.service", "utils.schema", "utils.openai_server"),
    ("utils.engine", "utils.prompts", "utils.weights", "utils.config"),
    ("utils.engine_args", "utils.sampling", "utils.engine_fields", "utils.strict_yaml"),
    ("utils.request", "prompt_templates", "utils.chat_template", "utils.jinja_sandbox"),
    ("utils.errors", "utils.masking", "utils.cog_streaming"),
)
"""From top to bottom. A module imports from rooms below its own, or from beside it except in SEPARATE."""

SEPARATE = frozenset(ROOMS[2])
COG_IMPORTERS = {"predict", "utils.cog_streaming", "train", "deploy"}
VLLM_IMPORTERS = {"utils.engine", "utils.engine_args", "utils.sampling", "utils.openai_server"}
HEAVY = {"torch", "vllm", "transformers", "huggingface_hub", "cog", "coglet", "ray"}


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")
    return "deploy" if name.startswith("deploy.") else name


SOURCES = {
    path: module_name(path)
    for path in [
        *PROJECT.glob("*.py"),
        *(PROJECT / "utils").rglob("*.py"),
        *(PROJECT / "deploy").rglob("*.py"),
    ]
    if path.name not in {"cog-vllm-helper.py"} and module_name(path) != "utils"
}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return every module that the file imports, and whether it does so when it is imported itself."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, *, at_import: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, at_import) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: write imports in full"
            module = node.module or ""
            found.extend((f"{module}.{alias.name}" if module == "utils" else module, at_import) for alias in node.names)
        inside = at_import and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, at_import=inside)

    visit(ast.parse(path.read_text()), at_import=True)
    return found


def room_of(module: str) -> int | None:
    return next((level for level, room in enumerate(ROOMS) if module in room), None)


@pytest.mark.parametrize("path", SOURCES, ids=SOURCES.values())
def test_imports_point_down_only(path: Path) -> None:
    own = room_of(SOURCES[path])
    assert own is not None, f"{SOURCES[path]} has no room: give it one here and in the design"
    for module, _ in imports(path):
        level = room_of(module)
        assert level is None or level >= own, f"{SOURCES[path]} imports {module}, which is above it"


@pytest.mark.parametrize("path", [one for one in SOURCES if SOURCES[one] in SEPARATE], ids=lambda one: one.name)
def test_engine_prompts_weights_and_config_do_not_know_each_other(path: Path) -> None:
    assert not {module for module, _ in imports(path)} & (SEPARATE - {SOURCES[path]})


@pytest.mark.parametrize("path", SOURCES, ids=SOURCES.values())
def test_only_the_engine_imports_vllm_and_only_once_it_is_wanted(path: Path) -> None:
    vllm = [at_import for module, at_import in imports(path) if module.partition(".")[0] == "vllm"]
    assert not vllm or (SOURCES[path] in VLLM_IMPORTERS and not any(vllm))


@pytest.mark.parametrize("path", SOURCES, ids=SOURCES.values())
def test_cog_stays_at_the_door(path: Path) -> None:
    packages = {module.partition(".")[0] for module, _ in imports(path)}
    assert not packages & {"cog", "coglet"} or SOURCES[path] in COG_IMPORTERS


def test_reading_of_imports_sees_functions_and_both_forms(tmp_path: Path) -> None:
    source = "import a.b\nfrom utils import c\nif 1:\n    import d\ndef f():\n    from vllm.e import g\n"
    (tmp_path / "x.py").write_text(source)
    assert imports(tmp_path / "x.py") == [("a.b", True), ("utils.c", True), ("d", True), ("vllm.e", False)]


IMPORT_AND_REPORT = """
import json, os, sys, threading
done = []
writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
started = {"subprocess.Popen", "os.fork", "os.system", "socket.connect", "socket.bind", "os.mkdir", "os.rename"}
def watch(event, arguments):
    if event in started or (event == "open" and arguments[2] and arguments[2] & writing):
        done.append(f"{event}{arguments!r}")
sys.addaudithook(watch)
environment, folder = dict(os.environ), os.getcwd()
__import__(sys.argv[1])
print(json.dumps({
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "threads": threading.active_count(),
    "done": done,
    "changed": dict(os.environ) != environment or os.getcwd() != folder,
}))
"""

UTILS = sorted(name for name in SOURCES.values() if name.startswith("utils.") and name != "utils.cog_streaming")


@pytest.mark.parametrize("module", [*UTILS, "prompt_templates"])
def test_importing_starts_nothing(module: str, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_REPORT, module],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    report = json.loads(ran.stdout)
    assert not HEAVY & set(report["modules"])
    assert (report["threads"], report["done"], report["changed"]) == (1, [], False)
    assert not list(tmp_path.iterdir())
    assert not ran.stderr
