"""Measures of the package's shape, read from its syntax trees: imports, knowledge of kinds, sizes, names."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "kplan"

KINDS = {
    "topic": "Topic",
    "connector": "Connector",
    "user": "ScramUser",
    "acl": "AclBinding",
    "quota": "Quota",
}  # kind -> the class of its resources
KINDS_AT_HOME = ("kinds/", "servers/", "importers/")  # packages that may know single kinds

IRREGULAR_PARTICIPLES = frozenset(
    """
    begun bound broken brought built chosen come cut drawn driven fed felt found given gone grown heard held hidden
    kept known laid left lent lost made meant met paid rebuilt resent said seen sent shown shut spent spoken stood
    struck swept taken taught thought thrown told understood unsaid won worn written
    """.split()  # noqa: SIM905
)
VERBS_IN_ED = frozenset({"feed", "need", "exceed", "proceed", "seed", "embed"})


@dataclass(frozen=True)
class Module:
    path: Path
    name: str  # dotted
    tree: ast.Module

    @property
    def place(self) -> str:
        """The path below the package, with slashes."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"


@dataclass(frozen=True)
class Finding:
    """A place in the code: `kplan/FILE:LINE` and what is there."""

    place: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"kplan/{self.place}:{self.line}: {self.what}"


class Package:
    """All modules of kplan, parsed once."""

    @cached_property
    def modules(self) -> Mapping[str, Module]:
        found = {}
        for path in sorted(PACKAGE.rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = Module(path, name, ast.parse(path.read_text("utf-8")))
        return found

    # -- imports ------------------------------------------------------------------------------------------------------
    @cached_property
    def imports(self) -> Mapping[str, frozenset[str]]:
        """Which modules each module imports anywhere in it, for types too."""
        return {name: frozenset(self._imported(module)) - {name} for name, module in self.modules.items()}

    def _imported(self, module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names if alias.name in self.modules)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    if whole in self.modules:
                        yield whole
                    elif node.module in self.modules:
                        yield node.module

    def cycles(self) -> list[list[str]]:
        """The groups of modules that import each other (Tarjan's strongly connected components of several)."""
        index: dict[str, int] = {}
        low: dict[str, int] = {}
        stack: list[str] = []
        found: list[list[str]] = []

        def visit(name: str) -> None:
            index[name] = low[name] = len(index)
            stack.append(name)
            for other in sorted(self.imports[name]):
                if other not in index:
                    visit(other)
                    low[name] = min(low[name], low[other])
                elif other in stack:
                    low[name] = min(low[name], index[other])
            if low[name] == index[name]:
                group = stack[stack.index(name) :]
                del stack[stack.index(name) :]
                if len(group) > 1:
                    found.append(sorted(group))

        for name in self.modules:
            if name not in index:
                visit(name)
        return found

    def modules_at_top(self) -> list[str]:
        return [m.place for m in self.modules.values() if "/" not in m.place and not m.place.startswith("__")]

    # -- kinds --------------------------------------------------------------------------------------------------------
    def kind_knowledge(self) -> list[Finding]:
        """Where code outside the packages of kinds and servers knows single kinds, by five patterns."""
        return [
            Finding(module.place, node.lineno, what)
            for module in self.modules.values()
            if not module.place.startswith(KINDS_AT_HOME)
            for node in ast.walk(module.tree)
            if isinstance(node, ast.expr | ast.pattern) and (what := _knows_a_kind(node))
        ]

    # -- sizes --------------------------------------------------------------------------------------------------------
    def classes(self) -> Iterator[tuple[Finding, int]]:
        """Each class and its lines."""
        for module, node in self._nodes(ast.ClassDef):
            yield Finding(module.place, node.lineno, node.name), (node.end_lineno or node.lineno) - node.lineno + 1

    def functions(self) -> Iterator[tuple[Finding, int]]:
        """Each function and the lines of its body, without signature and docstring."""
        for module, node in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = 0 if not body else (body[-1].end_lineno or 0) - body[0].lineno + 1
            yield Finding(module.place, node.lineno, node.name), lines

    def _nodes(self, *kinds: type) -> Iterator[tuple[Module, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                if isinstance(node, kinds):
                    yield module, node  # type: ignore[misc]

    # -- names --------------------------------------------------------------------------------------------------------
    def bare_participles(self) -> list[Finding]:
        """Functions whose name is one participle: `looked`, `_told`. Properties and dunder methods do not count."""
        return [where for where, node in self.named_functions() if is_participle(node.name)]

    def named_functions(self) -> Iterator[tuple[Finding, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for module, node in self._nodes(ast.FunctionDef, ast.AsyncFunctionDef):
            if isinstance(node, ast.ClassDef) or node.name.startswith("__"):
                continue
            yield Finding(module.place, node.lineno, node.name), node

    def public_classes_twice(self) -> list[str]:
        names = Counter(node.name for _, node in self._nodes(ast.ClassDef) if not node.name.startswith("_"))
        return sorted(name for name, count in names.items() if count > 1)


def is_participle(name: str) -> bool:
    word = name.lstrip("_")
    if "_" in word or word in VERBS_IN_ED:
        return False
    return word in IRREGULAR_PARTICIPLES or (word.endswith("ed") and len(word) > 4)


def _knows_a_kind(node: ast.expr | ast.pattern) -> str:
    if isinstance(node, ast.MatchClass):
        return _class_of_a_kind(node.cls)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "isinstance" and len(node.args) == 2:
            return _class_of_a_kind(node.args[1])
        if name == "Address" and node.args and _is_kind_name(node.args[0]):
            return f"Address({ast.unparse(node.args[0])}, …)"
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if any(isinstance(s, ast.Attribute) and s.attr == "kind" for s in sides) and any(map(_is_kind_name, sides)):
            return ast.unparse(node)
    elif isinstance(node, ast.Dict):
        if any(key is not None and _is_kind_name(key) for key in node.keys):
            return "a dict keyed by kinds"
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and _is_kind_name(node.slice):
        return ast.unparse(node)
    return ""


def _is_kind_name(node: ast.AST) -> bool:
    if isinstance(node, ast.Tuple):
        return any(map(_is_kind_name, node.elts))
    return isinstance(node, ast.Constant) and node.value in KINDS


def _class_of_a_kind(node: ast.expr) -> str:
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} | {
        part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)
    }
    found = sorted(names & set(KINDS.values()))
    return f"isinstance of {', '.join(found)}" if found else ""
