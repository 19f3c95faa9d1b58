"""Variables, and jinja2 inside values.

Only expressions and `{% if %}` are allowed, with a closed list of filters and no globals: a hostile stack can neither
reach Python nor make a small file large.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from kplan.model import Secret

if TYPE_CHECKING:
    from jinja2 import nodes

MAX_RESULT = 1_000_000  # characters of one value, elements of one list
ALONE = re.compile(r"\A\s*\{\{((?:(?!\}\}|\{\{).)*)\}\}\s*\Z", re.DOTALL)
OPENING = ("{{", "{%", "{#")
FILTERS = (
    "abs",
    "capitalize",
    "d",
    "default",
    "first",
    "float",
    "int",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "max",
    "min",
    "round",
    "sort",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
)
METHODS = ("endswith", "get", "items", "keys", "lower", "split", "startswith", "strip", "upper", "values")


class TemplateProblem(Exception):
    """A template that cannot be rendered; the message says why, `help` what to do."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template may name. `sensitive` maps those variables whose value never is shown; None: it is unset."""

    names: Mapping[str, Any]
    sensitive: Mapping[str, str | None] = field(default_factory=dict)

    def with_names(self, **names: Any) -> Scope:
        return Scope({**self.names, **names}, self.sensitive)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template ready to be rendered; `variables` are the `var.NAME`s it reads, None: it reads `var` as a whole."""

    run: Callable[[Mapping[str, Any]], Any]
    variables: frozenset[str] | None


def is_template(value: object) -> bool:
    return isinstance(value, str) and any(mark in value for mark in OPENING)


def render(text: str, scope: Scope) -> Any:
    """The value of `text`: of an expression's own type where it is one alone, a Secret where it touches one.

    Raises TemplateProblem.
    """
    compiled = _compile(text)
    touched = _touched(compiled, scope)
    if not touched:
        return _bounded(_run(compiled, scope.names))
    shown = {name: f"{{{{ var.{name} }}}}" for name in scope.sensitive}
    ref = str(_run(compiled, {**scope.names, "var": {**scope.names.get("var", {}), **shown}}))
    unset = [name for name in touched if scope.sensitive[name] is None]
    if not all(shown[name] in ref for name in touched):
        raise TemplateProblem(_CHANGED.format(name=touched[0]), _CHANGED_HELP)
    if unset:
        return Secret(ref, None)
    value = _bounded(str(_run(compiled, {**scope.names, "var": {**scope.names.get("var", {}), **scope.sensitive}})))
    if resolve(ref, scope.sensitive) != value:
        raise TemplateProblem(_CHANGED.format(name=touched[0]), _CHANGED_HELP)
    return Secret(ref, value)


_CHANGED = "the sensitive variable {name!r} is changed by this expression, so the result could not be traced to it"
_CHANGED_HELP = "put the final text into the variable and use it plainly: {{ var.NAME }}"
_VARIABLE = re.compile(r"\{\{ var\.([A-Za-z_][A-Za-z0-9_]*) \}\}")


def resolve(ref: str, values: Mapping[str, str | None]) -> str | None:
    """The text that `ref` stands for; None where one of its variables has no value."""
    names = _VARIABLE.findall(ref)
    if any(values.get(name) is None for name in names):
        return None
    return _VARIABLE.sub(lambda match: str(values[match.group(1)]), ref)


def references(ref: str) -> tuple[str, ...]:
    """Names of the variables in a Secret's `ref`."""
    return tuple(dict.fromkeys(_VARIABLE.findall(ref)))


def _touched(compiled: Compiled, scope: Scope) -> list[str]:
    if compiled.variables is None:
        return sorted(scope.sensitive)
    return sorted(compiled.variables & scope.sensitive.keys())


def _run(compiled: Compiled, names: Mapping[str, Any]) -> Any:
    from jinja2 import TemplateError

    try:
        return compiled.run(names)
    except TemplateProblem:
        raise
    except TemplateError as e:
        raise TemplateProblem(_words(str(e.message or e)), _known(names)) from e
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RecursionError, MemoryError) as e:
        raise TemplateProblem(f"{type(e).__name__}: {e}" if str(e) else type(e).__name__) from e


def _words(message: str) -> str:
    return re.sub(r"'dict object' has no attribute '(\w+)'", r"there is no '\1' here", message)


def _known(names: Mapping[str, Any]) -> str:
    variables = names.get("var")
    known = [f"var.{name}" for name in sorted(variables)] if isinstance(variables, Mapping) else []
    return "known here: " + ", ".join([*known, *sorted(n for n in names if n != "var")])


def _bounded(value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict) and len(value) > MAX_RESULT:
        raise TemplateProblem(f"the result has more than {MAX_RESULT:,} characters or elements")
    return value


@lru_cache(maxsize=50_000)
def _compile(text: str) -> Compiled:
    from jinja2 import TemplateSyntaxError

    if len(text) > 20_000:
        raise TemplateProblem("a templated value has at most 20,000 characters")
    environment = _environment()
    try:
        tree = environment.parse(text)
        _refuse(tree)
        alone = ALONE.match(text)
        if alone:
            expression = environment.compile_expression(alone.group(1).strip(), undefined_to_none=False)
            return Compiled(lambda names: _defined(expression(**names)), _variables(tree))
        template = environment.from_string(text)
        return Compiled(lambda names: template.render(**names), _variables(tree))
    except TemplateSyntaxError as e:
        raise TemplateProblem(f"{e.message}", "write {{ var.NAME }}; a literal {{ is written {{ '{{' }}") from e
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError, AssertionError) as e:
        raise TemplateProblem(f"this template is too deep or too large ({type(e).__name__})") from e


def _defined(value: Any) -> Any:
    from jinja2 import Undefined

    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    return value


def _refuse(tree: nodes.Template) -> None:
    """Raises TemplateProblem where the template holds more than expressions, `if`, known filters and methods."""
    from jinja2 import nodes

    allowed = (nodes.Output, nodes.If, nodes.TemplateData)
    for node in tree.find_all(nodes.Stmt):
        if not isinstance(node, allowed):
            raise TemplateProblem(f"`{type(node).__name__.lower()}` is not allowed in a value: only {{{{ … }}}} and if")
    for filter_ in tree.find_all(nodes.Filter):
        if filter_.name not in (*FILTERS, *OWN_FILTERS):
            known = ", ".join(sorted((*FILTERS, *OWN_FILTERS)))
            raise TemplateProblem(f"there is no filter {filter_.name!r}", f"known filters: {known}")
    for call in tree.find_all(nodes.Call):
        if not isinstance(call.node, nodes.Getattr) or call.node.attr not in METHODS:
            raise TemplateProblem("functions cannot be called in a value", f"known methods: {', '.join(METHODS)}")


def _variables(tree: nodes.Template) -> frozenset[str] | None:
    from jinja2 import nodes

    names: set[str] = set()
    read = 0
    for attribute in tree.find_all(nodes.Getattr):
        if _is_var(attribute.node):
            names.add(attribute.attr)
            read += 1
    for item in tree.find_all(nodes.Getitem):
        if _is_var(item.node):
            if not isinstance(item.arg, nodes.Const):
                return None
            names.add(str(item.arg.value))
            read += 1
    whole = sum(1 for node in tree.find_all(nodes.Name) if node.name == "var") > read
    return None if whole else frozenset(names)


def _is_var(node: nodes.Node) -> bool:
    from jinja2 import nodes

    return isinstance(node, nodes.Name) and node.name == "var"


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    class Bounded(SandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "%"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "%" and isinstance(left, str):
                raise TemplateProblem("`%` formats no text here", "join texts with ~")
            if operator in ("*", "**") and not _small(operator, left, right):
                raise TemplateProblem("this product is too large")
            return super().call_binop(context, operator, left, right)

    environment = Bounded(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS} | OWN_FILTERS
    return environment


def _small(operator: str, left: Any, right: Any) -> bool:
    if operator == "**":
        return isinstance(left, int | float) and isinstance(right, int | float) and abs(left) < 1e9 and abs(right) <= 16
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple) and isinstance(other, int):
            return len(one) * max(other, 0) <= MAX_RESULT
    return all(not isinstance(x, int) or x.bit_length() < 4096 for x in (left, right))


def snake(text: object) -> str:
    """`Acme Corp` -> `acme_corp`."""
    return re.sub(r"[^a-z0-9]+", "_", str(text).lower()).strip("_")


def slug(text: object, most: int = 63) -> str:
    """Snake case that PostgreSQL takes for a slot or publication: at most 63 characters of [a-z0-9_]."""
    name = snake(text)
    if len(name) <= most:
        return name
    return f"{name[: most - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def topic_name(text: object) -> str:
    """As Debezium names a topic: what Kafka does not allow becomes `_`, and it ends at 249 characters."""
    return re.sub(r"[^a-zA-Z0-9._-]", "_", str(text))[:249]


def server_id(text: object) -> int:
    """A number from 5400 to 2147483647, the same for the same text in every plan."""
    digest = int.from_bytes(hashlib.sha256(str(text).encode()).digest()[:8], "big")
    return 5400 + digest % (2_147_483_647 - 5400 + 1)


def replace(text: object, old: str, new: str) -> str:
    if not old:
        raise TemplateProblem("`replace` needs the text to be replaced")
    source = str(text)
    if len(source) + source.count(old) * len(new) > MAX_RESULT:
        raise TemplateProblem("the result of `replace` is too large")
    return source.replace(old, new)


OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "replace": replace,
    "server_id": server_id,
    "slug": slug,
    "snake": snake,
    "topic_name": topic_name,
}
