"""Imports point one way, effects are at the edges, and heavy modules are loaded when they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("imports")  # all modules are parsed once, in one worker

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kplan"

# Bottom to top: a package imports only its own modules and what is above it in this list, for types too.
LAYERS = (
    ("version", "patterns", "text", "values", "phases"),
    ("diagnostics",),
    ("model",),
    ("language",),
    ("kinds",),
    ("servers",),
    ("state",),
    ("project",),
    ("planning",),
    ("execution",),
    ("inspect",),
    ("importers",),
    ("render",),
    ("ci",),
    ("app",),
    ("api", "cli", "testing", "pytest_plugin", "__main__", "kplan"),
)
# Values in, values out: no I/O, no clock, nothing random, no process.
PURE = ("version", "patterns", "text", "values", "diagnostics", "model", "language", "kinds", "planning",
        "inspect.drift", "inspect.lineage", "project.environment", "project.process", "project.expand", "project.guard",
        "project.policy", "project.policy_file",
        "project.scaffold", "project.stacks", "render.drift", "render.run_events", "render.wording",
        "servers.snapshots", "state.cleaning", "state.signing")  # fmt: skip
# `masks` filters the log and masks URLs; the pipeline reads servers side by side, and its clock is a default.
IMPURE = frozenset(
    {"model.masked_logs", "model.masks", "planning.pipeline", "planning.reading", "planning.server_checks"}
)
HEAVY = frozenset({
    "yaml", "jsonschema", "jinja2", "regex", "requests", "confluent_kafka", "deepdiff", "rich", "ruamel", "psycopg",
    "pymysql", "kafka", "aws_msk_iam_sasl_signer", "boto3", "botocore", "google",
})  # fmt: skip
# The modules whose whole purpose is the library may import it at their top: they are themselves imported when used.
BUILT_ON = {
    "yaml": {"language.source", "language.fmt"},
    "confluent_kafka": {
        "servers.kafka.acls",
        "servers.kafka.logins",
        "servers.kafka.users",
        "servers.kafka.own_operations",
        "servers.kafka.topic_checks",
        "servers.kafka.topic_reader",
        "servers.kafka.topic_requests",
        "servers.kafka.client",
        "servers.kafka.errors",
        "servers.kafka.facts",
        "servers.kafka.reassign",
        "servers.kafka.signals",
        "state.kafka.store",
        "state.kafka.clients",
        "state.kafka.lock",
        "state.kafka.membership",
        "state.kafka.producer",
        "state.kafka.topic",
    },
    "requests": {
        "servers.http_sessions",
        "servers.tokens",
        "servers.http_failures",
        "servers.http_limits",
        "ci.hosting",
    },
}
OUTSIDE = frozenset({
    "asyncio", "datetime", "getpass", "glob", "http", "logging", "multiprocessing", "os", "random", "secrets", "select",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid",
})  # fmt: skip


@dataclass(frozen=True)
class Import:
    """`module` without the package's own name; `lazy`: inside a function; `typing`: for a type checker alone."""

    module: str
    line: int
    lazy: bool = False
    typing: bool = False
    own: bool = False


class _Imports(ast.NodeVisitor):
    def __init__(self, package: tuple[str, ...]) -> None:
        self.package = package
        self.found: list[Import] = []
        self.depth = 0
        self.typing = False

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_If(self, node: ast.If) -> None:
        before = self.typing
        self.typing = before or "TYPE_CHECKING" in ast.unparse(node.test)
        for child in node.body:
            self.visit(child)
        self.typing = before
        for child in node.orelse:
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert not node.level, f"line {node.lineno}: write the whole name of the module"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            self._add(whole if _is_module(whole) else str(node.module), node.lineno)

    def _add(self, name: str, line: int) -> None:
        own = name == "kplan" or name.startswith("kplan.")
        self.found.append(Import(name.removeprefix("kplan."), line, self.depth > 0, self.typing, own))


def _is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return name.startswith("kplan.") and (path.with_suffix(".py").is_file() or (path / "__init__.py").is_file())


@cache
def module_paths() -> dict[str, Path]:
    """The file of each module, by its name within the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "kplan"] = path
    return found


@cache
def modules() -> dict[str, tuple[Import, ...]]:
    """Each module's imports, by its name within the package; a package's own is its name."""
    found = {}
    for name, path in module_paths().items():
        visitor = _Imports(path.relative_to(PACKAGE).parts[:-1])
        visitor.visit(ast.parse(path.read_text("utf-8"), str(path)))
        found[name] = tuple(visitor.found)
    return found


def own(name: str) -> Iterator[Import]:
    """What `name` imports of the package when it runs; `__version__` does not count."""
    return (i for i in modules()[name] if i.own and not i.typing and i.module != "kplan")


def named(module: str, imports: Iterator[Import]) -> list[str]:
    return [f"kplan/{module.replace('.', '/')}.py:{i.line} imports {i.module}" for i in imports]


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def layer(module: str) -> int:
    """The place of `module` in LAYERS."""
    package = module.split(".")[0]
    return next(place for place, packages in enumerate(LAYERS) if package in packages)


def is_pure(module: str) -> bool:
    return inside(module, *PURE) and module not in IMPURE


def test_the_lists_name_what_exists() -> None:
    packages = {module.split(".")[0] for module in modules()}
    assert packages == {package for packages in LAYERS for package in packages}
    assert all(any(inside(module, name) for module in modules()) for name in (*PURE, *IMPURE))


def test_a_package_imports_only_what_is_below_it() -> None:
    """Imports for types count."""
    wrong = []
    for module in modules():
        wrong += named(module, (i for i in modules()[module] if i.own and layer(i.module) > layer(module)))
    assert not wrong


@pytest.mark.parametrize("module", sorted(filter(is_pure, module_paths())))
def test_the_core_has_no_clock_no_process_and_no_files(module: str) -> None:
    wrong = (i for i in modules()[module] if not i.own and not i.typing and i.module.split(".")[0] in OUTSIDE)
    assert not named(module, wrong)


def test_only_the_composition_root_names_a_real_server_or_store() -> None:
    """What all others know of servers and of the state are their protocols, and what needs no server."""
    real = ("servers.kafka", "servers.connect", "servers.simulated", "servers.recorded", "servers.databases.mysql",
            "servers.databases.postgres", "servers.databases.looking", "state.kafka", "state.sqlite",
            "state.recorded")  # fmt: skip
    wrong = []
    for module in modules():
        if module != "app.servers" and not inside(module, "servers", "state"):
            wrong += named(module, (i for i in own(module) if inside(i.module, *real)))
    assert not wrong


def test_views_know_no_server_and_no_store() -> None:
    wrong = []
    for module in modules():
        if inside(module, "render"):
            wrong += named(module, (i for i in own(module) if inside(i.module, "servers", "state", "project")))
    assert not wrong


def test_other_programs_get_no_command_line() -> None:
    wrong = []
    for module in ("api", "testing", "pytest_plugin", *(module for module in modules() if inside(module, "app"))):
        wrong += named(module, (i for i in modules()[module] if inside(i.module, "click", "cli", "__main__")))
    assert not wrong


def test_nobody_imports_the_command_line_but_its_way_in() -> None:
    wrong = []
    for module in modules():
        if not inside(module, "cli", "__main__"):
            wrong += named(module, (i for i in own(module) if inside(i.module, "cli", "__main__")))
    assert not wrong


def test_no_module_needs_itself() -> None:
    """Neither at import time nor later: a function's own import may not hide a circle."""
    graph = {name: {i.module for i in own(name) if i.module in modules()} for name in modules()}
    done: set[str] = set()
    way: list[str] = []

    def walk(name: str) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name in done:
            return
        way.append(name)
        for each in sorted(graph[name] - {name}):
            walk(each)
        way.pop()
        done.add(name)

    for name in graph:
        walk(name)


def test_heavy_modules_are_imported_where_they_are_used() -> None:
    wrong = []
    for module, imports in modules().items():
        for each in imports:
            library = each.module.split(".")[0]
            if (
                library in HEAVY
                and not each.own
                and not each.lazy
                and not each.typing
                and module not in BUILT_ON.get(library, ())
            ):
                wrong += named(module, iter([each]))
    assert not wrong


def loaded(*arguments: str, code: int, folder: Path = ROOT) -> set[str]:
    """The top-level names of all that Python imports while kplan runs with `arguments`."""
    run = subprocess.run([sys.executable, "-X", "importtime", "-m", "kplan", *arguments], cwd=folder, text=True,
                         capture_output=True, timeout=60, env={"PYTHONPATH": str(ROOT), "PATH": ""})  # fmt: skip
    assert run.returncode == code, run.stdout + run.stderr[-2000:]
    lines = [line.rpartition("|") for line in run.stderr.splitlines() if line.startswith("import time:")]
    return {name.strip().split(".")[0] for _, _, name in lines}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0), (["--version"], 0), (["plan", "--help"], 0), (["apply", "--help"], 0), ([], 64),
        (["explain", "K104"], 0), (["paln"], 64), (["plan", "--tarhet", "x", "a.yaml"], 64),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)  # fmt: skip
def test_the_way_in_is_light(arguments: list[str], code: int) -> None:
    found = loaded(*arguments, code=code)
    assert "kplan" in found
    assert not found & HEAVY


def test_a_valid_stack_needs_no_client_of_a_server(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nstack: a\ntopics:\n  a.b: {partitions: 3}\n")
    found = loaded("validate", "a.yaml", code=0, folder=tmp_path)
    assert "yaml" in found
    assert not found & (HEAVY - {"yaml"})


def test_the_simulated_cluster_needs_no_client_of_a_server(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\nstack: a\ntopics:\n  a.b: {partitions: 3}\n")
    found = loaded("plan", "a.yaml", code=0, folder=tmp_path)
    assert not found & (HEAVY - {"yaml"})
