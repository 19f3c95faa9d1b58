"""Each engine is one complete file, and what a module elsewhere needs of engines it reads from the registry."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from kplan.kinds.connector.debezium import engines
from kplan.kinds.connector.debezium.engine import Engine
from kplan.kinds.connector.debezium.engines import ENGINES
from kplan.kinds.connector.templates import Blueprint, blueprint
from kplan.project.loading import load_built_in
from kplan.servers.databases.drivers import DRIVERS, DROPPING_DRIVERS

ROOT = Path(engines.__file__).parents[5]
PACKAGE = ROOT / "kplan"
AT_HOME = ("kinds/connector/debezium/", "servers/databases/")
PROSE = ("diagnostics/codes/",)  # for people
NAMES = re.compile(
    r"postgres|mysql|maria_?db|sql_?server|sql server|oracle|mongo|slot\.name|publication\.name|server\.id\b",
    re.IGNORECASE,
)
ELSEWHERE = {
    "importers/legacy.py": "settings that Debezium no longer has",
    "kinds/connector/expansion.py": "an example in a message",
    "kinds/connector/routing.py": "the class of a transform",
    "kinds/connector/transforms.py": "the class of a transform",
    "servers/connect/check.py": "a prefix of settings that plugins pass on",
}
FILES = sorted(path.stem for path in Path(engines.__file__).parent.glob("*.py") if path.stem != "__init__")
each_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: engine.template)


def template_of(engine: Engine) -> Blueprint:
    template, problems = blueprint(engine.template, lambda name: (load_built_in(name), []))
    assert template is not None and not problems
    return template


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_one_engine_which_is_registered(name: str) -> None:
    module = import_module(f"kplan.kinds.connector.debezium.engines.{name}")
    (engine,) = [value for value in vars(module).values() if isinstance(value, Engine)]
    assert ENGINES[engine.java_class] is engine and engine.template == f"debezium-{name}"


def test_the_registry_has_nothing_but_the_files() -> None:
    assert len(ENGINES) == len(FILES)


@each_engine
def test_an_engine_and_its_template_agree(engine: Engine) -> None:
    template = template_of(engine)
    assert template.java_class == engine.java_class and template.table["list"] == engine.table_list
    assert set(engine.unique_on_server) <= set(template.unique)
    assert set(engine.required) <= template.config.keys()
    database = template.parameters["properties"]["database"]["properties"]
    assert database.get("port", {"default": engine.port})["default"] == engine.port
    if engine.shareable is not None:
        assert engine.shareable.beside in template.unique


@each_engine
def test_an_engine_says_what_every_engine_has_to_say(engine: Engine) -> None:
    assert engine.title and engine.port and engine.lists and "topic.prefix" in engine.required
    assert engine.incremental is not None, "Debezium has incremental snapshots for each of the six"
    assert engine.risks or engine.find_host, "a setting that moves the source has a risk, or a stack names the server"
    assert engine.describe_signals("a.b.c")


@each_engine
def test_what_kplan_looks_into_has_a_driver_and_an_extra(engine: Engine) -> None:
    assert (engine.access is not None) == (engine in DRIVERS)
    assert (engine.drops is not None and bool(engine.drops.statements)) == (engine in DROPPING_DRIVERS)
    if engine.access is not None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        assert engine.access.extra in extras and engine.access.source_settings


@pytest.mark.slow
def test_no_module_elsewhere_names_an_engine() -> None:
    named = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(NAMES.search(text) for text in words_of(ast.parse(path.read_text("utf-8"))))
    }
    assert {place for place in named if not place.startswith((*AT_HOME, *PROSE))} == ELSEWHERE.keys()


def words_of(tree: ast.Module) -> Iterator[str]:
    """Yield the texts and names of a module, without its docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias | ast.FunctionDef | ast.ClassDef):
            yield node.name
