"""Tests that assert nothing, read from the syntax trees of tests/: they pass whatever the code does.

A test asserts by `assert`, `pytest.raises` and the like, a validator, or a function of tests/ that does so. A
call of a method counts by the method's name: it asserts if a method of that name in tests/ does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
ASSERTING_CALLS = frozenset({
    "raises", "fail", "warns",  # pytest
    "validate", "fnmatch_lines",  # jsonschema, pytester
    "follow",  # of `tests.guides.Reader`, which finds its methods by name
})  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class TestModule:
    path: Path
    tree: ast.Module

    @property
    def name(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts)

    @cached_property
    def functions(self) -> Mapping[str, Function]:
        """Those of the module itself, by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, Function)}

    @cached_property
    def imported(self) -> Mapping[str, tuple[str, str]]:
        """The module and the name there of each name that is imported from tests/."""
        return {
            alias.asname or alias.name: (node.module, alias.name)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests.")
            for alias in node.names
        }

    def methods(self) -> Iterator[Function]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ClassDef):
                yield from (child for child in node.body if isinstance(child, Function))


class Claims:
    """All modules of tests/, parsed once."""

    def __init__(self, folder: Path = TESTS) -> None:
        parsed = (TestModule(path, ast.parse(path.read_text("utf-8"))) for path in sorted(folder.rglob("*.py")))
        self.modules = {module.name: module for module in parsed}

    def tests_without_assertion(self) -> list[str]:
        """Return the place of each test function that asserts nothing."""
        return [
            f"{module.path.relative_to(ROOT)}:{node.lineno}: {node.name}"
            for module in self.modules.values()
            if module.path.name.startswith("test_")
            for node in (*module.functions.values(), *module.methods())
            if node.name.startswith("test_") and not self._asserts(node, module, frozenset())
        ]

    @cached_property
    def _asserting_methods(self) -> frozenset[str]:
        """Names of methods that assert themselves, or call a function or a method of what `self` holds that does."""
        methods = [(method, module) for module in self.modules.values() for method in module.methods()]
        methods = [(method, module) for method, module in methods if not method.name.startswith(("test_", "__"))]
        names: set[str] = set()
        while found := {
            method.name
            for method, module in methods
            if method.name not in names
            and (_calls_of_self(method) & names or self._names_asserting(method, module, frozenset()))
        }:
            names |= found
        return frozenset(names)

    def _asserts(self, function: Function, module: TestModule, seen: frozenset[Function]) -> bool:
        """Whether the function asserts, or what it calls or hands on does."""
        calls = (_name_of(node) for node in ast.walk(function) if isinstance(node, ast.Call))
        return any(name in self._asserting_methods for name in calls) or self._names_asserting(function, module, seen)

    def _names_asserting(self, function: Function, module: TestModule, seen: frozenset[Function]) -> bool:
        """Whether the function asserts itself, or names a function of tests/ that does."""
        if any(map(_asserts_itself, ast.walk(function))):
            return True
        names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        known = [found for name in sorted(names) if (found := self._find(name, module)) and found[0] not in seen]
        return any(self._names_asserting(*found, seen | {function}) for found in known if found[0] is not function)

    def _find(self, name: str, module: TestModule) -> tuple[Function, TestModule] | None:
        if name in module.functions:
            return module.functions[name], module
        origin, name = module.imported.get(name, ("", ""))
        elsewhere = self.modules.get(origin)
        return (elsewhere.functions[name], elsewhere) if elsewhere and name in elsewhere.functions else None


def _asserts_itself(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    checked = any(word.arg == "check" and isinstance(word.value, ast.Constant) and word.value.value is True
                  for word in node.keywords)  # fmt: skip
    return _name_of(node) in ASSERTING_CALLS or (checked and _name_of(node) == "run")


def _name_of(call: ast.Call) -> str:
    """Return the last name of what is called: `kplan` of `shell.kplan(…)`."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _calls_of_self(function: Function) -> set[str]:
    """Return the methods that the function calls of `self` or of what it holds: `self.shell.kplan(…)`."""
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call))
    return {_name_of(call) for call in calls if isinstance(call.func, ast.Attribute) and _root(call.func) == "self"}


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
