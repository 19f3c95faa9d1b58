"""Evaluate Terraform's expressions over values that are known: references, operators, `for`, and functions on them.

Source: https://developer.hashicorp.com/terraform/language/expressions and .../functions. What depends on a resource, a
file or the time raises UnknownValue, as does what is not understood.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn

from kplan.importers.reading import to_text

Bound = Mapping[str, Any]  # values of `each`, `count` and the names of `for`
Node = Callable[[Bound], Any]
FindValue = Callable[[str, str], Any]  # of `var.NAME`, `local.NAME` or `kafka_topic.NAME`; raises UnknownValue
Spend = Callable[[int], None]  # counts the values that are made; raises Invalid where they are too many

MAX_RANGE: Final = 1024  # as in Terraform
MAX_DEPTH: Final = 60  # of nested expressions
NUMBER: Final = re.compile(r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
NAME: Final = re.compile(r"[A-Za-z_][\w-]*")
OPERATOR: Final = re.compile(r"=>|==|!=|<=|>=|&&|\|\||\.\.\.|[-+*/%!<>?:.,(){}\[\]=]")
BLANK: Final = re.compile(r"\s*")
ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt"\\]))')
ESCAPED_LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
LITERALS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None}
FORMAT: Final = re.compile(r"%%|%([-+ 0#]*\d{0,3}(?:\.\d{1,3})?)([svqdtfeEgGxXo])")
LEVELS: Final[Sequence[Sequence[str]]] = (
    ("||",),
    ("&&",),
    ("==", "!="),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/", "%"),
)


class UnknownValue(Exception):
    """Only Terraform can compute the value."""


class InvalidValue(UnknownValue):
    """Terraform would refuse the expression, too: `try` takes its next argument."""


class Opaque:
    """Stands in a map or a list for a value that only Terraform knows; nothing can be computed with it."""

    def __init__(self, reference: str) -> None:
        self.reference = reference

    def refuse(self) -> NoReturn:
        raise UnknownValue(self.reference)

    def compute(self, bound: Bound) -> NoReturn:
        self.refuse()

    def __eq__(self, other: object) -> bool:
        self.refuse()

    def __lt__(self, other: object) -> bool:
        self.refuse()

    def __gt__(self, other: object) -> bool:
        self.refuse()

    def __hash__(self) -> int:
        self.refuse()

    def __str__(self) -> str:
        self.refuse()


def _compute(node: Node, bound: Bound) -> Any:
    """Return the value of a part of a map or list, which may be unknown."""
    try:
        return node(bound)
    except InvalidValue:
        raise
    except UnknownValue as e:
        return Opaque(str(e))


def _require_known(value: Any) -> Any:
    """Return the value. Raises UnknownValue where it is Opaque."""
    return value.refuse() if isinstance(value, Opaque) else value


def evaluate(
    text: str, find: FindValue, bound: Bound, spend: Spend, functions: Mapping[str, Callable[..., Any]] | None = None
) -> Any:
    """Return the value of a text with `${…}` in it: of an expression's own type where it is one alone.

    `functions` are in place of Terraform's. Raises UnknownValue.
    """
    parser = _Parser(text, find, spend, FUNCTIONS if functions is None else functions)
    parts = parser.read_template(None)
    values = [part if isinstance(part, str) else part(bound) for part in parts]
    if len(values) == 1:
        return values[0]
    joined = "".join(_to_string(value) for value in values)
    spend(len(joined) // 64)
    return joined


def _to_string(value: Any) -> str:
    if _require_known(value) is None or isinstance(value, dict | list):
        raise InvalidValue("a value that is not text")
    return to_text(value)


class _Tokens:
    """Walks through one text, from token to token."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def peek(self) -> str:
        """Return the next operator, or the first letter of another token; empty at the end."""
        blank = BLANK.match(self.text, self.position)
        self.position = blank.end() if blank else self.position
        operator = OPERATOR.match(self.text, self.position)
        return operator[0] if operator else self.text[self.position : self.position + 1]

    def take(self, operator: str) -> bool:
        if self.peek() != operator:
            return False
        self.position += len(operator)
        return True

    def expect(self, operator: str) -> None:
        if not self.take(operator):
            self.refuse()

    def take_word(self, word: str) -> bool:
        self.peek()
        match = NAME.match(self.text, self.position)
        if match is None or match[0] != word:
            return False
        self.position = match.end()
        return True

    def read_word(self) -> str:
        self.peek()
        match = NAME.match(self.text, self.position)
        if match is None:
            self.refuse()
        self.position = match.end()
        return match[0]

    def refuse(self) -> NoReturn:
        raise UnknownValue(self.text[:80])


class _Parser(_Tokens):
    """Reads one text; each method returns what computes the value of its part."""

    def __init__(self, text: str, find: FindValue, spend: Spend, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(text)
        self.find, self.spend, self.functions = find, spend, functions
        self.depth = 0

    # -- templates ----------------------------------------------------------------------------------------------------
    def read_template(self, end: str | None) -> list[str | Node]:
        """Return the literal and the computed parts up to `end`, which is a quotation mark or the end of the text."""
        parts: list[str | Node] = []
        literal: list[str] = []

        def close() -> None:
            if literal:
                parts.append("".join(literal))
                literal.clear()

        text = self.text
        while self.position < len(text):
            rest = text[self.position : self.position + 3]
            if end is not None and rest[:1] == end:
                break
            if rest in ("$${", "%%{"):
                literal.append(rest[1:])
                self.position += 3
            elif rest[:2] == "${":
                close()
                self.position += 2
                self._skip("~")
                parts.append(self.read_expression())
                self._skip("~")
                self.expect("}")
            elif rest[:2] == "%{":
                raise UnknownValue("a template with %{…}")
            elif escape := ESCAPE.match(text, self.position):
                code = escape[1] or escape[2]
                literal.append(_to_character(int(code, 16)) if code else ESCAPED_LETTERS[escape[3]])
                self.position = escape.end()
            else:
                literal.append(rest[:1])
                self.position += 1
        close()
        return parts or [""]

    def _skip(self, mark: str) -> None:
        if self.text.startswith(mark, self.position):
            self.position += len(mark)

    # -- expressions --------------------------------------------------------------------------------------------------
    def read_expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse()
        condition = self.read_level(0)
        if self.take("?"):
            chosen = self.read_expression()
            self.expect(":")
            other = self.read_expression()
            self.depth -= 1
            return lambda bound: chosen(bound) if _to_boolean(condition(bound)) else other(bound)
        self.depth -= 1
        return condition

    def read_level(self, level: int) -> Node:
        """Read operators of this precedence and of higher ones."""
        if level == len(LEVELS):
            return self.read_unary()
        left = self.read_level(level + 1)
        while (operator := self.peek()) in LEVELS[level]:
            self.position += len(operator)
            left = _apply(operator, left, self.read_level(level + 1))
        return left

    def read_unary(self) -> Node:
        if self.take("-"):
            negated = self.read_steps(self.read_primary())
            return lambda bound: -_to_number(negated(bound))
        if self.take("!"):
            denied = self.read_steps(self.read_primary())
            return lambda bound: not _to_boolean(denied(bound))
        return self.read_steps(self.read_primary())

    def read_steps(self, value: Node) -> Node:
        """Read what follows a value: attributes, indices, and a splat, after which each element has the rest."""
        while True:
            mark = self.peek()
            if mark == ".":
                self.position += 1
                if self.take("*"):
                    return self._read_splat(value)
                self.peek()
                number = NUMBER.match(self.text, self.position)
                value = (
                    self._read_index(value, int(self._take_match(number))) if number else _get(value, self.read_word())
                )
            elif mark == "[":
                self.position += 1
                if self.take("*"):
                    self.expect("]")
                    return self._read_splat(value)
                index = self.read_expression()
                self.expect("]")
                value = _get_index(value, index)
            else:
                return value

    def _take_match(self, match: re.Match[str]) -> str:
        self.position = match.end()
        return match[0]

    def _read_index(self, value: Node, index: int) -> Node:
        return _get_index(value, lambda bound: index)

    def _read_splat(self, value: Node) -> Node:
        element = "each of a splat"
        rest = self.read_steps(lambda bound: bound[element])

        def read(bound: Bound) -> list[Any]:
            items = value(bound)
            items = items if isinstance(items, list) else [] if items is None else [items]
            self.spend(len(items))
            return [rest({**bound, element: item}) for item in items]

        return read

    def read_primary(self) -> Node:
        mark = self.peek()
        if number := NUMBER.match(self.text, self.position):
            literal = _parse_number(self._take_match(number))
            return lambda bound: literal
        if mark == '"':
            return self._read_string()
        if mark in ("(", "[", "{"):
            self.position += 1
            return {"(": self._read_group, "[": self._read_list, "{": self._read_object}[mark]()
        name = self.read_word()
        if self.take("("):
            return self._read_call(name)
        if name in LITERALS:
            return lambda bound: LITERALS[name]
        attribute = self._read_attribute()

        def read(bound: Bound) -> Any:
            if name not in bound:
                return _require_known(self.find(name, attribute)) if attribute else self.refuse()
            return _look_up(bound[name], attribute) if attribute else _require_known(bound[name])

        return read

    def _read_attribute(self) -> str:
        """Read the attribute behind a name; empty where there is a splat, an index or nothing."""
        position = self.position
        if self.take("."):
            self.peek()
            if NAME.match(self.text, self.position):
                return self.read_word()
        self.position = position
        return ""

    def _read_string(self) -> Node:
        self.position += 1
        parts = self.read_template('"')
        self.expect('"')
        if len(parts) == 1:
            only = parts[0]
            return (lambda bound: only) if isinstance(only, str) else only
        return lambda bound: "".join(part if isinstance(part, str) else _to_string(part(bound)) for part in parts)

    def _read_group(self) -> Node:
        inner = self.read_expression()
        self.expect(")")
        return inner

    def _read_list(self) -> Node:
        if self.take_word("for"):
            return self._read_for("]")
        items: list[Node] = []
        while not self.take("]"):
            items.append(self.read_expression())
            if not self.take(","):
                self.expect("]")
                break
        return lambda bound: [_compute(item, bound) for item in items]

    def _read_object(self) -> Node:
        if self.take_word("for"):
            return self._read_for("}")
        entries: list[tuple[Node, Node]] = []
        while not self.take("}"):
            entries.append((self._read_key(), self.read_expression()))
            self.take(",")
        return lambda bound: {_to_string(key(bound)): _compute(value, bound) for key, value in entries}

    def _read_key(self) -> Node:
        if self.peek() in ('"', "("):
            key = self.read_primary()
        else:
            word = self.read_word()
            key = lambda bound: word  # noqa: E731
        if not self.take("="):
            self.expect(":")
        return key

    def _read_for(self, end: str) -> Node:
        first = self.read_word()
        second = self.read_word() if self.take(",") else ""
        if not self.take_word("in"):
            self.refuse()
        source = self.read_expression()
        self.expect(":")
        result = self.read_expression()
        value = self.read_expression() if end == "}" and self._take_arrow() else None
        condition = self.read_expression() if self.take_word("if") else None
        self.expect(end)

        def iterate(bound: Bound) -> Iterable[Bound]:
            items = source(bound)
            if not isinstance(items, dict | list):
                raise InvalidValue("`for` over a single value")
            self.spend(len(items))
            pairs = items.items() if isinstance(items, dict) else enumerate(items)
            for key, item in pairs:
                own = {**bound, **({first: key, second: item} if second else {first: item})}
                if condition is None or _to_boolean(condition(own)):
                    yield own

        if value is not None:
            return lambda bound: {_to_string(result(own)): _compute(value, own) for own in iterate(bound)}
        return lambda bound: [_compute(result, own) for own in iterate(bound)]

    def _take_arrow(self) -> bool:
        self.expect("=>")
        return True

    def _read_call(self, name: str) -> Node:
        arguments: list[Node] = []
        is_spread = False
        while not self.take(")"):
            arguments.append(self.read_expression())
            is_spread = self.take("...")
            if not self.take(","):
                self.expect(")")
                break
        if name == "try":
            return lambda bound: _try(arguments, bound)
        if name == "can":
            return lambda bound: _can(arguments[0], bound)
        function = self.functions.get(name)
        if function is None:
            return Opaque(f"{name}(…)").compute

        def call(bound: Bound) -> Any:
            values = [argument(bound) for argument in arguments]
            if is_spread and values and isinstance(values[-1], list):
                values = [*values[:-1], *values[-1]]
            try:
                result = _require_known(function(*map(_require_known, values)))
            except UnknownValue:
                raise
            except (TypeError, ValueError, KeyError, IndexError, AttributeError, ZeroDivisionError) as e:
                raise InvalidValue(f"{name}(…)") from e
            self.spend(len(result) if isinstance(result, dict | list) else 1 + len(str(result)) // 64)
            return result

        return call


# -- operators and values ---------------------------------------------------------------------------------------------
def _to_character(code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise InvalidValue("an escape that is not a character")
    return chr(code)


def _parse_number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def _to_number(value: Any) -> int | float:
    if isinstance(value, str) and re.fullmatch(rf"-?{NUMBER.pattern}", value):
        return -_parse_number(value[1:]) if value[0] == "-" else _parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValue(f"{value!r} is not a number")
    return value


def _to_boolean(value: Any) -> bool:
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise InvalidValue(f"{value!r} is not a boolean")
    return value


def _apply(operator: str, left: Node, right: Node) -> Node:
    if operator == "||":
        return lambda bound: _to_boolean(left(bound)) or _to_boolean(right(bound))
    if operator == "&&":
        return lambda bound: _to_boolean(left(bound)) and _to_boolean(right(bound))
    if operator in ("==", "!="):
        return lambda bound: (left(bound) == right(bound)) == (operator == "==")
    return lambda bound: _calculate(operator, _to_number(left(bound)), _to_number(right(bound)))


def _calculate(operator: str, one: int | float, other: int | float) -> Any:
    if operator in ("/", "%") and not other:
        raise InvalidValue("a division by zero")
    if operator == "/":
        quotient = one / other
        return int(quotient) if quotient.is_integer() else quotient
    results: Mapping[str, Callable[[], Any]] = {
        "+": lambda: one + other, "-": lambda: one - other, "*": lambda: one * other, "%": lambda: one % other,
        "<": lambda: one < other, ">": lambda: one > other, "<=": lambda: one <= other, ">=": lambda: one >= other,
    }  # fmt: skip
    return results[operator]()


def _get(value: Node, name: str) -> Node:
    return _get_index(value, lambda bound: name)


def _get_index(value: Node, index: Node) -> Node:
    return lambda bound: _look_up(value(bound), index(bound))


def _look_up(whole: Any, key: Any) -> Any:
    if isinstance(_require_known(whole), dict) and str(key) in whole:
        return _require_known(whole[str(key)])
    if isinstance(whole, list):
        number = int(_to_number(key))
        if 0 <= number < len(whole):
            return _require_known(whole[number])
    raise InvalidValue(f"there is no {key}")


def _try(arguments: Sequence[Node], bound: Bound) -> Any:
    for argument in arguments:
        try:
            return argument(bound)
        except InvalidValue:
            continue
    raise InvalidValue("try(…)")


def _can(argument: Node, bound: Bound) -> bool:
    try:
        argument(bound)
    except InvalidValue:
        return False
    return True


# -- functions --------------------------------------------------------------------------------------------------------
def _merge(*maps: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in maps:
        merged |= each or {}
    return merged


def _to_set(items: Any) -> list[Any]:
    return sorted(dict.fromkeys(items if isinstance(items, list) else list(items)), key=str)


def _flatten(items: list[Any]) -> list[Any]:
    return [inner for item in items for inner in (_flatten(item) if isinstance(item, list) else [item])]


def _lookup(values: dict[str, Any], key: str, *default: Any) -> Any:
    return values[key] if key in values else default[0]


def _coalesce(*values: Any) -> Any:
    return next(value for value in (*values, None) if value not in (None, "")) if any(values) else _refuse("coalesce")


def _refuse(name: str) -> NoReturn:
    raise InvalidValue(f"{name}(…)")


def _format(text: str, *values: Any) -> str:
    rest = list(values)
    if re.sub(FORMAT, "", text).count("%"):
        raise UnknownValue("format(…)")
    formatted = FORMAT.sub(
        lambda match: "%" if match[0] == "%%" else _format_one(match[1], match[2], rest.pop(0)), text
    )
    return formatted if not rest else _refuse("format")


def _format_one(flags: str, verb: str, value: Any) -> str:
    """Return a value as a verb of Go's writes it, such as `%05.1f`."""
    if verb in "sv":
        return f"%{flags}s" % _to_string(value)
    if verb == "q":
        return f"%{flags}s" % json.dumps(_to_string(value), ensure_ascii=False)
    if verb == "t":
        return to_text(_to_boolean(value))
    number = _to_number(value)
    return f"%{flags}{verb}" % (int(number) if verb in "dxXo" else number)


def _format_list(text: str, *values: Any) -> list[str]:
    length = max((len(value) for value in values if isinstance(value, list)), default=1)
    columns = [value if isinstance(value, list) else [value] * length for value in values]
    return [_format(text, *row) for row in zip(*columns, strict=True)]


def _encode_json(value: Any) -> str:
    """Return JSON as Terraform writes it: with sorted keys, without blanks, safe within HTML."""
    text = json.dumps(_require_inner(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _require_inner(value: Any) -> Any:
    """Return the value. Raises UnknownValue where a part of it is Opaque."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_inner(_require_known(inner))
    return value


def _choose_one(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else _refuse("one") if items else None


def _multiply_sets(*sets: list[Any]) -> list[Any]:
    if math.prod(map(len, sets)) > MAX_RANGE:
        raise UnknownValue("setproduct(…)")
    return [list(row) for row in itertools.product(*sets)]


def _cut(text: str, start: Any, length: Any) -> str:
    first, number = int(_to_number(start)), int(_to_number(length))
    beginning = text[first:]
    return beginning if number < 0 else beginning[:number]


def _replace(text: str, old: str, new: str) -> str:
    if old[:1] == old[-1:] == "/" and len(old) > 1:
        raise UnknownValue("replace(…) with a regular expression")
    return text.replace(old, new)


def _concat(*lists: list[Any]) -> list[Any]:
    return [item for each in lists for item in each]


def _choose_element(items: list[Any], index: Any) -> Any:
    return items[int(_to_number(index)) % len(items)]


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "abs": lambda number: abs(_to_number(number)),
    "alltrue": lambda items: all(map(_to_boolean, items)),
    "anytrue": lambda items: any(map(_to_boolean, items)),
    "ceil": lambda number: math.ceil(_to_number(number)),
    "coalesce": _coalesce,
    "compact": lambda items: [item for item in items if item not in (None, "")],
    "concat": _concat,
    "contains": lambda items, item: item in items,
    "distinct": lambda items: list(dict.fromkeys(items)),
    "element": _choose_element,
    "endswith": lambda text, end: str(text).endswith(end),
    "flatten": _flatten,
    "floor": lambda number: math.floor(_to_number(number)),
    "format": _format,
    "formatlist": _format_list,
    "jsonencode": _encode_json,
    "join": lambda separator, items: separator.join(_to_string(item) for item in items),
    "keys": lambda values: sorted(values),
    "length": len,
    "lookup": _lookup,
    "lower": lambda text: str(text).lower(),
    "max": lambda *numbers: max(map(_to_number, numbers)),
    "merge": _merge,
    "min": lambda *numbers: min(map(_to_number, numbers)),
    "one": _choose_one,
    "range": lambda *numbers: list(range(*(int(_to_number(number)) for number in numbers))[:MAX_RANGE]),
    "replace": _replace,
    "reverse": lambda items: items[::-1],
    "setintersection": lambda first, *others: _to_set([item for item in first if all(item in o for o in others)]),
    "setproduct": _multiply_sets,
    "setsubtract": lambda items, others: _to_set([item for item in items if item not in others]),
    "setunion": lambda *sets: _to_set(_concat(*sets)),
    "slice": lambda items, start, end: items[int(_to_number(start)) : int(_to_number(end))],
    "sort": lambda items: sorted(items),
    "split": lambda separator, text: text.split(separator),
    "startswith": lambda text, beginning: str(text).startswith(beginning),
    "title": lambda text: re.sub(r"(?<!\S)\w", lambda match: match[0].upper(), text),
    "substr": _cut,
    "sum": lambda numbers: sum(map(_to_number, numbers)),
    "strcontains": lambda text, part: part in str(text),
    "tobool": lambda value: None if value is None else _to_boolean(value),
    "tolist": lambda items: list(items),
    "tomap": lambda values: dict(values),
    "tonumber": lambda value: None if value is None else _to_number(value),
    "toset": _to_set,
    "tostring": lambda value: None if value is None else _to_string(value),
    "trimprefix": lambda text, prefix: text.removeprefix(prefix),
    "trimspace": lambda text: text.strip(),
    "trimsuffix": lambda text, suffix: text.removesuffix(suffix),
    "upper": lambda text: str(text).upper(),
    "values": lambda values: [values[key] for key in sorted(values)],
    "zipmap": lambda keys, values: dict(zip(keys, values, strict=True)),
}
