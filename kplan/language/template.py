"""Variables, and jinja2 inside values.

Only expressions and `{% if %}` are allowed, with a closed list of filters and no globals, and what they handle is
counted: a hostile stack can neither reach Python, nor make a small file large, nor keep kplan busy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import field
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any

from kplan.model import Secret
from kplan.patterns import late_pattern
from kplan.values import dataclass

if TYPE_CHECKING:
    from jinja2 import nodes

MAX_RESULT = 1_000_000  # characters of one value, elements of one list
MAX_WORK = 10_000_000  # characters and elements that the templates of one stack may handle
MAX_BITS = 4096  # of a number
MAX_ARGUMENT = 1_000  # characters of a method's or filter's argument, for some take the product of two lengths
ALONE = late_pattern(r"\A\s*\{\{((?:(?!\}\}|\{\{).)*)\}\}\s*\Z", re.DOTALL)
OPENING = ("{{", "{%", "{#")
FILTERS = (
    "abs",
    "capitalize",
    "d",
    "default",
    "first",
    "float",
    "int",
    "last",
    "length",
    "list",
    "lower",
    "max",
    "min",
    "sort",
    "title",
    "unique",
    "upper",
)
METHODS = ("endswith", "get", "items", "keys", "lower", "split", "startswith", "strip", "upper", "values")


class TemplateProblem(Exception):
    """A template that cannot be rendered; the message says why, `help` what to do."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


class TooMuch(TemplateProblem):
    """More is asked for than one stack may ask for; there is no use in going on."""


class Budget:
    """What a stack may still ask for, in characters and elements."""

    __slots__ = ("_known", "left")

    def __init__(self) -> None:
        self.left = MAX_WORK
        self._known: dict[int, tuple[Any, int]] = {}

    def spend(self, amount: int) -> None:
        """Raises TooMuch once all is spent."""
        self.left -= amount
        if self.left < 0:
            raise TooMuch(f"its values and templates handle more than {MAX_WORK:,} characters and elements")

    def length(self, value: Any) -> int:
        """Return the length of a value that stays the same; it is worked out once."""
        known = self._known.get(id(value))
        if known is None or known[0] is not value:
            known = self._known[id(value)] = (value, length(value))
        return known[1]


def length(value: Any) -> int:
    """Return the characters and elements of a value, those inside it too; counting ends above MAX_RESULT."""
    if isinstance(value, str):
        return len(value)
    found, waiting = 0, [value]
    while waiting and found <= MAX_RESULT:
        each = waiting.pop()
        found += len(each) if isinstance(each, str) else 1
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple):
            waiting += each
    return found


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template may name. `sensitive` maps those variables whose value never is shown; None: it is unset."""

    names: Mapping[str, Any]
    sensitive: Mapping[str, str | None] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget, compare=False)

    def with_names(self, **names: Any) -> Scope:
        return Scope({**self.names, **names}, self.sensitive, self.budget)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template ready to be rendered; `variables` are the `var.NAME`s it reads, None: it reads `var` as a whole.

    `read` are all names that it reads, `var.NAME` or another, each as often as it does.
    """

    run: Callable[[Mapping[str, Any]], Any]
    variables: frozenset[str] | None
    read: tuple[tuple[str, str], ...] = ()

    def cost(self, scope: Scope) -> int:
        """Return what is handled at least: comparing takes as long as what is compared."""
        variables = scope.names.get("var") or {}
        values = (variables.get(key) if key else scope.names.get(name) for name, key in self.read)
        return sum(scope.budget.length(value) for value in values if isinstance(value, str | list | tuple | dict))


def is_template(value: object) -> bool:
    return isinstance(value, str) and "{" in value and any(mark in value for mark in OPENING)


def render(text: str, scope: Scope) -> Any:
    """Return the value of `text`: of an expression's own type where it is one alone, a Secret where it touches one.

    Raises TemplateProblem.
    """
    compiled = _compile(text)
    scope.budget.spend(1 + len(text) // 10 + compiled.cost(scope))
    before = _BUDGET.set(scope.budget)
    try:
        return _render_compiled(compiled, scope)
    finally:
        _BUDGET.reset(before)


_BUDGET: ContextVar[Budget] = ContextVar("budget")  # of the stack whose template is being rendered


def _render_compiled(compiled: Compiled, scope: Scope) -> Any:
    touched = _find_touched_secrets(compiled, scope)
    if not touched:
        return _check_size(_run(compiled, scope.names))
    shown = {name: f"{{{{ var.{name} }}}}" for name in scope.sensitive}
    ref = str(_run(compiled, {**scope.names, "var": {**scope.names.get("var", {}), **shown}}))
    unset = [name for name in touched if scope.sensitive[name] is None]
    if not all(shown[name] in ref for name in touched):
        raise TemplateProblem(_CHANGED.format(name=touched[0]), _CHANGED_HELP)
    if unset:
        return Secret(ref, None)
    value = _check_size(str(_run(compiled, {**scope.names, "var": {**scope.names.get("var", {}), **scope.sensitive}})))
    if resolve(ref, scope.sensitive) != value:
        raise TemplateProblem(_CHANGED.format(name=touched[0]), _CHANGED_HELP)
    return Secret(ref, value)


_CHANGED = "the sensitive variable {name!r} is changed by this expression, so the result could not be traced to it"
_CHANGED_HELP = "put the final text into the variable and use it plainly: {{ var.NAME }}"
MAX_PLACEHOLDERS = 3  # the time to find them grows with the power of their number
_VARIABLE = late_pattern(r"\{\{ var\.([A-Za-z_][A-Za-z0-9_]*) \}\}")


def resolve(ref: str, values: Mapping[str, str | None]) -> str | None:
    """Return the text that `ref` stands for; None where one of its variables has no value."""
    names = _VARIABLE.findall(ref)
    if any(values.get(name) is None for name in names):
        return None
    return _VARIABLE.sub(lambda match: str(values[match.group(1)]), ref)


def values_in(ref: str, text: str) -> tuple[str, ...]:
    """Return the values that the variables of `ref` have in `text`; none where they cannot be found in it."""
    literals = _VARIABLE.split(ref)[::2]
    if not 2 <= len(literals) <= MAX_PLACEHOLDERS + 1:
        return ()
    found = re.fullmatch("(.+?)".join(map(re.escape, literals)), text, re.DOTALL)
    return found.groups() if found else ()


def references(ref: str) -> tuple[str, ...]:
    """Return the names of the variables in a Secret's `ref`."""
    return tuple(dict.fromkeys(_VARIABLE.findall(ref)))


def _find_touched_secrets(compiled: Compiled, scope: Scope) -> list[str]:
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
        raise _unknown_name(compiled, names) or TemplateProblem(_words(str(e.message or e)), _list_known(names)) from e
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RecursionError, MemoryError) as e:
        raise TemplateProblem(f"{type(e).__name__}: {e}" if str(e) else type(e).__name__) from e


def _unknown_name(compiled: Compiled, names: Mapping[str, Any]) -> TemplateProblem | None:
    """Return the problem for the first name of the template that is not there; None where all are."""
    variables = names.get("var")
    for name, key in compiled.read:
        if name not in names:
            return TemplateProblem(f"there is no `{name}` here", _instead_of(name, names))
        if name == "var" and key and isinstance(variables, Mapping) and key not in variables:
            near = _nearest(key, variables)
            return TemplateProblem(
                f"there is no variable `{key}`", f"declare it under `variables:`{near and f'; {near}'}"
            )
    return None


def _instead_of(name: str, names: Mapping[str, Any]) -> str:
    if name == "env":
        return "`env` is for kplan.yaml; in a stack: `variables: {name: {env: NAME}}`, then {{ var.name }}"
    if name == "var":
        return "`var` is for stacks; kplan.yaml takes {{ env.NAME }}, a variable of the process"
    if name == "secret":
        return "`secret` is for kplan.yaml; in a stack: `variables: {name: {from: secret.…, sensitive: true}}`"
    if name == "each":
        return "`each` is there with `for_each:` only"
    return _nearest(name, names) or _list_known(names)


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), 1)
    return f"did you mean `{close[0]}`?" if close else ""


def _words(message: str) -> str:
    return re.sub(r"'dict object' has no attribute '(\w+)'", r"there is no '\1' here", message)


def _list_known(names: Mapping[str, Any]) -> str:
    variables = names.get("var")
    known = [f"var.{name}" for name in sorted(variables)] if isinstance(variables, Mapping) else []
    return "known here: " + ", ".join([*known, *sorted(n for n in names if n != "var")])


def _check_size(value: Any) -> Any:
    if isinstance(value, str | list | tuple | dict) and len(value) > MAX_RESULT:
        raise TemplateProblem(_TOO_LARGE)
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise TemplateProblem("the result is too large a number")
    return value


_TOO_LARGE = f"the result has more than {MAX_RESULT:,} characters or elements"


def _text(value: Any) -> Any:
    """Return the text of a value, not of one that is too long; what is undefined stays so, and jinja reports it."""
    if type(value) is str and len(value) <= MAX_ARGUMENT:  # paid for by what made it
        return value
    if not isinstance(value, str | list | tuple | dict):
        return value
    size = length(value)
    _BUDGET.get().spend(size)
    if size > MAX_RESULT:
        raise TemplateProblem(_TOO_LARGE)
    return str(value)


def _join_parts(parts: Iterable[Any], between: str = "") -> str:
    """Return the parts as one text."""
    texts: list[str] = []
    size = 0
    for part in parts:
        texts.append(part if type(part) is str and len(part) <= MAX_ARGUMENT else str(_text(part)))
        size += len(texts[-1]) + len(between)
        if size - len(between) > MAX_RESULT:
            raise TemplateProblem(_TOO_LARGE)
    return between.join(texts)


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
            return Compiled(lambda names: _require_defined(expression(**names)), _variables(tree), _read(tree))
        template = environment.from_string(text)
        return Compiled(lambda names: template.render(**names), _variables(tree), _read(tree))
    except TemplateSyntaxError as e:
        raise TemplateProblem(f"{e.message}", "write {{ var.NAME }}; a literal {{ is written {{ '{{' }}") from e
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError, AssertionError) as e:
        raise TemplateProblem(f"this template is too deep or too large ({type(e).__name__})") from e


def _require_defined(value: Any) -> Any:
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


def _read(tree: nodes.Template) -> tuple[tuple[str, str], ...]:
    """Return the names that are read, in pairs of a name and, of `var`, the one behind it."""
    from jinja2 import nodes

    found = [("var", a.attr) for a in tree.find_all(nodes.Getattr) if _is_var(a.node)]
    found += [("var", str(i.arg.value)) for i in tree.find_all(nodes.Getitem)
              if _is_var(i.node) and isinstance(i.arg, nodes.Const)]  # fmt: skip
    names = [n.name for n in tree.find_all(nodes.Name)]
    whole = names.count("var") - len(found)
    return (*found, *((name, "") for name in names if name != "var"), *((("var", ""),) * whole))


def find_paths(text: str, name: str) -> tuple[tuple[str, ...], ...]:
    """Return what a template reads below `name`: `("a", "b")` for `name.a.b`, without a method that it calls there."""
    from jinja2 import TemplateSyntaxError, nodes

    try:
        tree = _environment().parse(text)
    except (TemplateSyntaxError, RecursionError):  # rendering it reports this
        return ()
    inner = {id(call.node) for call in tree.find_all(nodes.Call)}  # a method, not a part of the path
    outer = [node for kind in (nodes.Getattr, nodes.Getitem) for node in tree.find_all(kind) if id(node) not in inner]
    below = {id(node.node) for node in outer}
    paths = (_read_path(node, name) for node in outer if id(node) not in below)
    return tuple(dict.fromkeys(path for path in paths if path))


def _read_path(node: nodes.Node, name: str) -> tuple[str, ...]:
    """Return the parts of `name.a["b"]`; nothing where it begins otherwise or a part is not written out."""
    from jinja2 import nodes

    parts: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
        elif isinstance(node.arg, nodes.Const):
            parts.append(str(node.arg.value))
        else:
            return ()
        node = node.node
    return tuple(reversed(parts)) if isinstance(node, nodes.Name) and node.name == name else ()


def _is_var(node: nodes.Node) -> bool:
    from jinja2 import nodes

    return isinstance(node, nodes.Name) and node.name == "var"


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.compiler import CodeGenerator
    from jinja2.sandbox import SandboxedEnvironment

    class Generator(CodeGenerator):
        def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:
            self.write("environment.concat((")
            for each in node.nodes:
                self.visit(each, frame)
                self.write(", ")
            self.write("))")

    class Bounded(SandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "%", "+"))
        code_generator_class = Generator
        concat = staticmethod(_join_parts)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _refuse_operands(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def call(__self, __context: Any, __method: Any, *args: Any, **options: Any) -> Any:
            _BUDGET.get().spend(length(getattr(__method, "__self__", None)))
            _refuse_long(args)
            return super().call(__context, __method, *args, **options)

    environment = Bounded(
        undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, optimized=False, finalize=_text
    )
    environment.globals.clear()
    filters = {name: environment.filters[name] for name in FILTERS} | OWN_FILTERS
    environment.filters = {name: _count_cost(each) for name, each in filters.items()}
    return environment


def _count_cost(filter_: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter, which pays for what it is given."""

    @wraps(filter_)  # keeps the marks by which jinja knows what else it takes
    def count_and_call(*args: Any, **options: Any) -> Any:
        for each in args:
            if isinstance(each, str | list | tuple | dict):
                _BUDGET.get().spend(length(each))
        return filter_(*args, **options)

    return count_and_call


def _refuse_long(arguments: Iterable[Any]) -> None:
    if any(isinstance(each, str) and len(each) > MAX_ARGUMENT for each in arguments):
        raise TemplateProblem(f"an argument has more than {MAX_ARGUMENT:,} characters")


def _refuse_operands(operator: str, left: Any, right: Any) -> None:
    """Raises TemplateProblem for what would be too large, or is no arithmetic."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if operator == "+":
        size = 0 if numbers else length(left) + length(right)
        _BUDGET.get().spend(size)
        if size > MAX_RESULT:
            raise TemplateProblem(_TOO_LARGE)
    elif not numbers:
        raise TemplateProblem(f"`{operator}` takes numbers alone", "join texts with ~")
    elif operator == "**" and not (abs(left) < 1e9 and abs(right) <= 16):
        raise TemplateProblem("this power is too large")
    elif any(isinstance(x, int) and x.bit_length() > MAX_BITS for x in (left, right)):
        raise TemplateProblem("this number is too large")


def snake(text: object) -> str:
    """Return `acme_corp` for `Acme Corp`."""
    return re.sub(r"[^a-z0-9]+", "_", str(text).lower()).strip("_")


def slug(text: object, most: int = 63) -> str:
    """Return the text in snake case that PostgreSQL takes for a slot or publication: at most 63 characters of
    [a-z0-9_].
    """
    name = snake(text)
    if len(name) <= most:
        return name
    return f"{name[: most - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def topic_name(text: object) -> str:
    """Return the name as Debezium forms it for a topic: what Kafka does not allow becomes `_`, and it ends at 249
    characters.
    """
    name = re.sub(r"[^a-zA-Z0-9._-]", "_", str(text))[:249]
    return "_" * len(name) if name in (".", "..") else name


PLAIN_NAME = late_pattern(r"[\w$#@\" .-]+\Z")  # a table or a column; all else is a regular expression


def regex(name: str) -> str:
    """Return a name as the regular expression that matches it alone; what is a pattern stays one."""
    return re.sub(r"([.$#\[\](){}^*+?|\\])", r"\\\1", name) if PLAIN_NAME.match(name) else name


def identifier(text: object) -> str:
    """Return a name as Oracle understands it: upper case, but what stands in double quotes stays as it is."""
    return re.sub(r'"([^"]*)"|([^"]+)', lambda part: part[1] if part[2] is None else part[2].upper(), str(text))


def require(value: object, name: str) -> object:
    """Return the value; a problem that says `name` where there is none."""
    if value is None or value == "":
        raise TemplateProblem(f"`{name}` is missing, and needed here", f"add `{name}`, or write the whole name")
    return value


def server_id(text: object) -> int:
    """Return a number from 5400 to 2147483647, the same for the same text in every plan."""
    digest = int.from_bytes(hashlib.sha256(str(text).encode()).digest()[:8], "big")
    return 5400 + digest % (2_147_483_647 - 5400 + 1)


def replace(text: object, old: str, new: str) -> str:
    if not old:
        raise TemplateProblem("`replace` needs the text to be replaced")
    source = str(text)
    if len(source) + source.count(old) * len(new) > MAX_RESULT:
        raise TemplateProblem("the result of `replace` is too large")
    return source.replace(old, new)


def join(values: Iterable[Any], between: object = "") -> str:
    return _join_parts(values, str(between))


def round_(value: Any, precision: int = 0, method: str = "common") -> float:
    """Round as jinja does, whose precision may be a number with more digits than there is memory."""
    from jinja2.filters import do_round

    if not isinstance(precision, int) or abs(precision) > 20:
        raise TemplateProblem("`round` takes a precision of at most 20")
    return do_round(value, precision, method)  # type: ignore[arg-type]


def sum_(values: Iterable[Any], start: float = 0) -> Any:
    numbers = list(values)
    if not all(isinstance(each, int | float) for each in (*numbers, start)):
        raise TemplateProblem("`sum` takes numbers alone", "join texts with `join`")
    return sum(numbers, start)


def trim(value: object, characters: str | None = None) -> str:
    _refuse_long([characters])
    return str(value).strip(characters)


OWN_FILTERS: dict[str, Callable[..., Any]] = {
    "join": join,
    "round": round_,
    "string": lambda value: str(_text(value)),
    "sum": sum_,
    "trim": trim,
    "identifier": identifier,
    "needed": require,
    "regex": regex,
    "replace": replace,
    "server_id": server_id,
    "slug": slug,
    "snake": snake,
    "topic_name": topic_name,
}


def show_references(value: Any) -> Any:
    """Return the value with the reference of each secret in its place."""
    if isinstance(value, Secret):
        return value.ref
    if isinstance(value, dict):
        return {key: show_references(child) for key, child in value.items()}
    if isinstance(value, list):
        return [show_references(child) for child in value]
    return value
