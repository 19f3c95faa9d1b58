"""Document x JSON Schema -> diagnostics, in kplan's own words and at the exact place.

A file without errors never meets the `jsonschema` package: the schema is compiled into plain functions that only say
yes or no. jsonschema is asked about the parts that get a no, for it knows why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.language import limits as bounded
from kplan.language.keys import DEFAULTS_PLACE, missing_blank
from kplan.language.source import Document
from kplan.patterns import late_pattern

Schema = Mapping[str, Any] | bool
Check = Callable[[Any], bool]
Steps = tuple[str | int, ...]

MOST_SEARCHED: Final = 5_000  # characters: no value that has a form is longer, and some forms take quadratic time
MAX_SUGGESTIONS: Final = 500  # unknown keys of one map that are compared with the known ones: each takes 0.1 ms
TEMPLATE: Final = r"\{\{"  # the pattern that lets a template stand for a number or a boolean


def check(document: Document, schema: Mapping[str, Any]) -> tuple[Diagnostic, ...]:
    """Return all that is wrong with the document by a JSON Schema (2020-12, with local references only), by place."""
    compiler, fits = _compile_once(schema)
    if fits(document.data):
        return ()
    found: dict[Diagnostic, None] = {}
    for failure in _failures(document.data, schema, compiler):
        for leaf in _leaves(failure):
            found.update(dict.fromkeys(_Words(document, leaf).diagnostics()))
    return tuple(sorted(found, key=lambda problem: problem.span or Span("")))


def fits(data: Any, schema: Mapping[str, Any]) -> bool:
    """Return whether a document meets one of kplan's own schemas, without saying why not."""
    return _compile_once(schema)[1](data)


def meets(data: Any, schema: Mapping[str, Any]) -> bool:
    """Whether the data meets a schema that is kept; False where jsonschema has to be asked, which also says why."""
    try:
        return _compile_once(schema, own=True)[1](data)
    except (KeyError, TypeError, ValueError, RecursionError):  # a template's own may be no schema, or refer elsewhere
        return False


_KNOWN: dict[int, tuple[Mapping[str, Any], _Compiler, Check]] = {}  # by identity; a schema that is kept stays itself


def _compile_once(schema: Mapping[str, Any], own: bool = False) -> tuple[_Compiler, Check]:
    """Return the schema's check, made once for each schema. `own`: it is not kplan's, so its patterns may take for
    ever.
    """
    known = _KNOWN.get(id(schema))
    if known is None:
        compiler = _Compiler(schema, own)
        known = _KNOWN[id(schema)] = (schema, compiler, compiler.compile(schema))
    return known[1], known[2]


@cache
def read_schema(name: str) -> dict[str, Any]:
    """Return the published schema `name`, such as `stack.v1`. Raises FileNotFoundError. Do not change the result."""
    schema: dict[str, Any] = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    return schema


def tolerate(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that checks the types of what `schema` describes, and accepts unknown keys and words."""
    tolerant: dict[str, Any] = _tolerant(schema)
    return tolerant


def _tolerant(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_tolerant(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _tolerant(value) for key, value in schema.items()}
    if schema.get("additionalProperties") is False:
        del kept["additionalProperties"]
    if isinstance(schema.get("enum"), list):
        del kept["enum"]
        kept |= _type_of_words(schema["enum"])
    return kept


def _type_of_words(words: Sequence[Any]) -> dict[str, Any]:
    """Return what all words of an enumeration have in common: they are texts, or lists of texts."""
    if all(isinstance(word, list) for word in words):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "string"} if all(isinstance(word, str) for word in words) else {}


def schema_names() -> tuple[str, ...]:
    """Return the published schemas, such as `stack.v1`, in order."""
    return tuple(sorted(file.stem for file in _folder().glob("*.json")))


@cache
def _folder() -> Path:
    """Return the folder of the schemas: in the package where it is installed, beside it in a checkout."""
    packaged = Path(__file__).parents[1] / "schemas"
    return packaged if packaged.is_dir() else packaged.parent.parent / "schemas"


# Yes or no


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Check] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}
_EXACT = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
_ANNOTATIONS = frozenset({
    "$schema", "$id", "$defs", "$comment", "title", "description", "examples", "default", "enumDescriptions",
    "errorMessage", "format", "deprecated",
    "required", "additionalProperties", "then", "else",  # these are read together with another keyword
})  # fmt: skip


def _always(value: Any) -> bool:
    return True


def _never(value: Any) -> bool:
    return False


class _Compiler:
    """Makes of a schema a function that says whether a value meets it."""

    def __init__(self, root: Mapping[str, Any], own: bool = False) -> None:
        self.root = root
        self._own = own
        self._references: dict[str, Check] = {}

    def compile(self, schema: Schema) -> Check:
        if isinstance(schema, bool):
            return _always if schema else _never
        checks = [self._keyword(key, schema) for key in schema if key not in _ANNOTATIONS]
        if {"required", "additionalProperties"} & schema.keys() and "properties" not in schema:
            checks.append(self._map(schema))
        if "required" in schema:
            checks.append(_require_keys(schema["required"]))
        return _all(checks)

    def _keyword(self, key: str, schema: Mapping[str, Any]) -> Check:
        maker = _MAKERS.get(key)
        if maker is None and self._own:
            return _never
        return maker(self, schema[key], schema) if maker else _ask_jsonschema(key, schema[key])

    def reference(self, name: str) -> Check:
        """Return the check for `#/$defs/NAME`; it is compiled once, when it is first asked for."""
        known = self._references.get(name)
        if known is None:
            known = self._references[name] = self.compile(self.definition(name))
        return known

    def definition(self, name: str) -> Schema:
        definition: Schema = self.root["$defs"][name.removeprefix("#/$defs/")]
        return definition

    def _reference(self, name: str, schema: Mapping[str, Any]) -> Check:
        fits: Check | None = None

        def check(value: Any) -> bool:
            nonlocal fits
            fits = fits or self.reference(name)
            return fits(value)

        return check

    def _type(self, names: str | list[str], schema: Mapping[str, Any]) -> Check:
        wanted = [names] if isinstance(names, str) else names
        exact = tuple(_EXACT[name] for name in wanted if name in _EXACT)
        others = [_TYPES[name] for name in wanted if name not in _EXACT]
        if not others:
            return lambda value: isinstance(value, exact)
        return lambda value: isinstance(value, exact) or any(fits(value) for fits in others)

    def _pattern(self, text: str, schema: Mapping[str, Any]) -> Check:
        search = bounded.pattern(text).found_in if self._own else re.compile(text).search
        return lambda value: not isinstance(value, str) or (len(value) <= MOST_SEARCHED and bool(search(value)))

    def _map(self, schema: Mapping[str, Any], whole: Mapping[str, Any] | None = None) -> Check:
        known = {key: self.compile(each) for key, each in schema.get("properties", {}).items()}
        rest = self.compile(schema.get("additionalProperties", True))
        if rest is _always:
            known = {key: fits for key, fits in known.items() if fits is not _always}

        def check(value: Any) -> bool:
            if isinstance(value, dict):
                for key, each in value.items():
                    fits = known.get(key, rest)
                    if fits is not _always and not fits(each):
                        return False
            return True

        return check if known or rest is not _always else _always

    def _properties(self, properties: Mapping[str, Schema], schema: Mapping[str, Any]) -> Check:
        return self._map(schema)

    def _names(self, names: Schema, schema: Mapping[str, Any]) -> Check:
        fits = self.compile(names)
        return lambda value: not isinstance(value, dict) or _fit_all(fits, value)

    def _items(self, items: Schema, schema: Mapping[str, Any]) -> Check:
        fits = self.compile(items)
        return lambda value: not isinstance(value, list) or _fit_all(fits, value)

    def _all_of(self, schemas: Sequence[Schema], schema: Mapping[str, Any]) -> Check:
        """Look up the alternatives that the word of a key chooses, instead of asking each whether it is meant."""
        choices: dict[str, dict[str, Check]] = {}
        others: list[Check] = []
        for each in schemas:
            key, word = _find_choice(each)
            if isinstance(each, dict) and key and word not in choices.setdefault(key, {}):
                choices[key][word] = self.compile(each["then"])
            else:
                others.append(self.compile(each))
        return _all([*others, *(_choose_by_word(key, by_word) for key, by_word in choices.items())])

    def _any_of(self, schemas: Sequence[Schema], schema: Mapping[str, Any]) -> Check:
        checks = [self.compile(each) for each in schemas]

        def check(value: Any) -> bool:
            for fits in checks:  # noqa: SIM110
                if fits(value):
                    return True
            return False

        return check

    def _one_of(self, schemas: Sequence[Schema], schema: Mapping[str, Any]) -> Check:
        checks = [self.compile(each) for each in schemas]
        return lambda value: sum(1 for fits in checks if fits(value)) == 1

    def _not(self, negated: Schema, schema: Mapping[str, Any]) -> Check:
        fits = self.compile(negated)
        return lambda value: not fits(value)

    def _if(self, condition: Schema, schema: Mapping[str, Any]) -> Check:
        when = self.compile(condition)
        then, otherwise = self.compile(schema.get("then", True)), self.compile(schema.get("else", True))
        return lambda value: then(value) if when(value) else otherwise(value)


def _all(checks: Sequence[Check]) -> Check:
    """Return the check that a value meets all of them. Loops, as a generator takes longer than most checks."""
    needed = [fits for fits in checks if fits is not _always]

    def check(value: Any) -> bool:
        for fits in needed:  # noqa: SIM110
            if not fits(value):
                return False
        return True

    return check if len(needed) > 1 else needed[0] if needed else _always


def _find_choice(schema: Schema) -> tuple[str, str]:
    """Return key and word of `if: KEY is WORD, then: …`; both are empty where a schema says something else."""
    if not isinstance(schema, dict) or set(schema) != {"if", "then"}:
        return "", ""
    condition = schema["if"]
    match condition:
        case {"properties": {**words}, "required": [str(key)], **other} if not other and words.keys() == {key}:
            match words[key]:
                case {"const": str(word), **more} if not more:
                    return key, word
    return "", ""


def _choose_by_word(key: str, by_word: Mapping[str, Check]) -> Check:
    """Return the check for what the word of `key` chooses. All count for a value that is no map: JSON Schema's `if`
    holds for it.
    """

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return all(fits(value) for fits in by_word.values())
        word = value.get(key)
        fits = by_word.get(word) if isinstance(word, str) else None
        return fits is None or fits(value)

    return check


def _fit_all(fits: Check, values: Iterable[Any]) -> bool:
    for value in values:  # noqa: SIM110
        if not fits(value):
            return False
    return True


def _require_keys(keys: Iterable[str]) -> Check:
    wanted = frozenset(keys)
    return lambda value: not isinstance(value, dict) or wanted <= value.keys()


def _required_together(others: Mapping[str, Sequence[str]]) -> Check:
    needed = {key: frozenset(keys) for key, keys in others.items()}
    return lambda value: (
        not isinstance(value, dict) or all(keys <= value.keys() for key, keys in needed.items() if key in value)
    )


def _at_least(least: float) -> Check:
    return lambda value: not _is_number(value) or value >= least


def _at_most(most: float) -> Check:
    return lambda value: not _is_number(value) or value <= most


def _no_shorter(kind: type[list[Any]] | type[dict[str, Any]], least: int) -> Check:
    return lambda value: not isinstance(value, kind) or len(value) >= least


def _no_longer(kind: type[list[Any]] | type[dict[str, Any]], most: int) -> Check:
    return lambda value: not isinstance(value, kind) or len(value) <= most


def _one_value_of(values: Sequence[Any]) -> Check:
    if not all(isinstance(value, str | int | float | None) for value in values):
        return _ask_jsonschema("enum", values)
    known = {(isinstance(value, bool), value) for value in values}
    return lambda value: isinstance(value, str | int | float | None) and (isinstance(value, bool), value) in known


def _distinct(value: Any) -> bool:
    return not isinstance(value, list) or len({_identity(each) for each in value}) == len(value)


def _identity(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _ask_jsonschema(key: str, value: Any) -> Check:
    from jsonschema import Draft202012Validator

    return Draft202012Validator({key: value}).is_valid


_MAKERS: Mapping[str, Callable[[_Compiler, Any, Mapping[str, Any]], Check]] = {
    "$ref": _Compiler._reference,
    "type": _Compiler._type,
    "properties": _Compiler._properties,
    "propertyNames": _Compiler._names,
    "items": _Compiler._items,
    "allOf": _Compiler._all_of,
    "anyOf": _Compiler._any_of,
    "oneOf": _Compiler._one_of,
    "not": _Compiler._not,
    "if": _Compiler._if,
    "pattern": _Compiler._pattern,
    "minimum": lambda _, value, __: _at_least(value),
    "maximum": lambda _, value, __: _at_most(value),
    "minItems": lambda _, value, __: _no_shorter(list, value),
    "minProperties": lambda _, value, __: _no_shorter(dict, value),
    "maxItems": lambda _, value, __: _no_longer(list, value),
    "minLength": lambda _, value, __: lambda text: not isinstance(text, str) or len(text) >= value,
    "dependentRequired": lambda _, value, __: _required_together(value),
    "maxProperties": lambda _, value, __: _no_longer(dict, value),
    "enum": lambda _, value, __: _one_value_of(value),
    "const": lambda _, value, __: _one_value_of([value]),
    "uniqueItems": lambda _, value, __: _distinct if value else _always,
}


# Why not


def _failures(data: Any, schema: Mapping[str, Any], compiler: _Compiler) -> Iterator[Any]:
    """Yield jsonschema's errors. What a reference's compiled check accepts is not looked at again."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def reference(validator: Any, name: str, value: Any, _: Any) -> Iterator[Any]:
        if not compiler.reference(name)(value):
            yield from validator.descend(value, compiler.definition(name))

    def matches(_: Any, text: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not (len(value) <= MOST_SEARCHED and re.search(text, value)):
            yield ValidationError("of another form")

    def distinct(_: Any, wanted: bool, value: Any, __: Any) -> Iterator[Any]:
        if wanted and not _distinct(value):
            yield ValidationError("listed twice")

    derive: Any = extend
    kind = derive(Draft202012Validator, {"$ref": reference, "pattern": matches, "uniqueItems": distinct})
    yield from kind(schema).iter_errors(data)


def _leaves(failure: Any) -> Iterator[Any]:
    """Yield the errors worth telling: of alternatives, those of the one that was most probably meant."""
    if not failure.context or "errorMessage" in failure.schema:
        yield failure
        return
    branches: dict[Any, list[Any]] = {}
    for each in failure.context:
        branches.setdefault(each.relative_schema_path[0], []).append(each)
    meant = max(branches.values(), key=_likeness)
    for each in meant:
        yield from _leaves(each)


def _likeness(branch: Sequence[Any]) -> tuple[bool, int]:
    """Rank an error by likeness: the right type tells most, then how deep the value goes before it is wrong. The first
    of equals wins.
    """
    wrong_type = any(each.validator == "type" and not each.relative_path for each in branch)
    return not wrong_type, max(len(each.relative_path) for each in branch)


_KINDS = {
    "object": "a map", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false", "null": "nothing",
}  # fmt: skip


FOREIGN_TEMPLATE: Final = late_pattern(r"\$\{?\s*((?:var|each|env|kplan)\.\w+)")


def _as_map(items: list[Any]) -> str:
    """Return how the first item of a list is written in a map."""
    first = items[0] if items else None
    if isinstance(first, str):
        return f"it is a map; write `{first}:`, without `-`"
    name = first.get("name") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(name, str):
        return ""
    rest = {key: value for key, value in first.items() if key != "name"}
    settings = ", ".join(f"{key}: {_show_value(value)}" for key, value in rest.items())
    return f"it is a map by name; write `{name}: {{{settings}}}`, without `-`"


def name_from(path: str) -> str:
    """Return a stack's name for the file at `path`."""
    stem = re.sub(r"[^a-z0-9]+", "-", path.rpartition("/")[2].partition(".")[0].lower()).strip("-")
    return stem[:63] or "my-stack"


def _kind(value: Any) -> str:
    """Return what a value is, in a person's words."""
    kinds = {dict: "a map", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "empty")


def _types(schema: Mapping[str, Any]) -> list[str]:
    names = schema.get("type", [])
    return [names] if isinstance(names, str) else list(names)


def _show_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


class _Words:
    """Says one of jsonschema's errors in kplan's words."""

    def __init__(self, document: Document, failure: Any) -> None:
        self.document = document
        self.failure = failure
        self.steps: Steps = tuple(failure.absolute_path)
        self.schema: Mapping[str, Any] = failure.schema if isinstance(failure.schema, Mapping) else {}
        self.value = failure.instance

    def diagnostics(self) -> Iterator[Diagnostic]:
        say = _SAY.get(self.failure.validator, _Words.form)
        if self._template_is_allowed() and self.failure.validator == "pattern":
            say = _Words.kind
        yield from say(self)

    def _template_is_allowed(self) -> bool:
        return self.schema.get("pattern") == TEMPLATE and bool(set(_types(self.schema)) - {"string"})

    def _say(self, summary: str, detail: str, help: str, span: Span, steps: Steps = ()) -> Diagnostic:
        path = "/" + "/".join(map(str, steps or self.steps))
        return error(codes.K106, summary, detail, help=help, span=span, path=path)

    @property
    def name(self) -> str:
        if not self.steps:
            return "The file"
        if isinstance(self.steps[-1], int):
            owner = next((step for step in reversed(self.steps) if isinstance(step, str)), "")
            return f"Item {self.steps[-1] + 1} of `{owner}`"
        return f"`{self.steps[-1]}`"

    @property
    def place(self) -> Span:
        """Return the value's span; its key's where the value is empty, the beginning where it is the whole file."""
        if not self.steps:
            return Span(self.document.path, 1, 1, 1, 2)
        span = self.document.at(*self.steps)
        nothing = (span.line, span.column) == (span.end_line, span.end_column)
        return self.document.key_at(*self.steps) if nothing else span

    def explanation(self) -> str:
        """Return what the schema says the value should be."""
        words = self.schema.get("errorMessage") or self.schema.get("description", "")
        examples = self.schema.get("examples") or []
        return f"{words} For example: {_show_value(examples[0])}" if examples else words

    def unknown_keys(self) -> Iterator[Diagnostic]:
        known = tuple(self.schema.get("properties", {}))
        unknown = [key for key in self.value if key not in known]
        for number, key in enumerate(unknown):
            steps = (*self.steps, key)
            detail = f"`{key}` is not a key of {self.schema.get('title') or self.name}."
            help = missing_blank(key, self.value[key]) or _known_keys(key, known, number < MAX_SUGGESTIONS)
            yield self._say("unknown key", detail, help, self.document.key_at(*steps), steps)

    def missing_keys(self) -> Iterator[Diagnostic]:
        for key in self.failure.validator_value:
            if key not in self.value:
                owner = self.schema.get("title") or self.name
                schema = self.schema.get("properties", {}).get(key, {})
                example = schema.get("examples", [None])[0] if isinstance(schema, Mapping) else None
                help = f"add `{key}: {_show_value(example)}`" if example is not None else f"add `{key}:`"
                if key in ("stack", "topic_prefix"):
                    help = f"add `{key}: {name_from(self.document.path)}`"
                span = self.document.key_at(*self.steps) if self.steps else self.place
                if written := _written_as(key, self.value, self.schema.get("properties", {})):
                    help = f"write `{key}` instead of `{written}`"
                    span = self.document.key_at(*self.steps, written)
                yield self._say("a key is missing", f"`{key}` is missing in {owner}.", help, span, (*self.steps, key))

    def kind(self) -> Iterator[Diagnostic]:
        wanted = [name for name in _types(self.schema) if name != "null" and not self._stands_for_template(name)]
        words = " or ".join(_KINDS[name] for name in wanted)
        detail = f"{self.name} is {_kind(self.value)}; expected {words}"
        detail += ", or a template `{{ … }}`." if self._template_is_allowed() else "."
        help = self._without_quotes(wanted) or self._with_blank(wanted) or self._guess_meant() or self.explanation()
        if self.value is None and self.steps:
            help = f"write a value, or remove the line. {help}".rstrip()
        yield self._say("a value of the wrong type", detail, help, self.place)

    def _stands_for_template(self, name: str) -> bool:
        return name == "string" and self._template_is_allowed()

    def _guess_meant(self) -> str:
        """Return what was probably meant by a value of the wrong type; empty where that is not known."""
        known = self.schema.get("properties", {})
        if not self.steps and "stack" in known:
            return f"a stack begins with `version: 1` and `stack: {name_from(self.document.path)}`"
        if isinstance(self.value, str) and (found := FOREIGN_TEMPLATE.search(self.value)):
            return f'a template is written "{{{{ {found[1]} }}}}"'
        key = self.steps[-1] if self.steps else ""
        if isinstance(self.value, list) and key in ("topics", "connectors") and len(self.steps) == 1:
            return _as_map(self.value)
        if len(self.steps) == 2 and key in known and not isinstance(self.value, dict):
            others = [each for each in self.document.data[self.steps[0]] if each not in known]
            return f"indent `{key}:` under the entry that it belongs to" + (
                f", such as `{others[0]}`" if others else ""
            )
        return ""

    def _without_quotes(self, wanted: Sequence[str]) -> str:
        """Return the help for a number or a boolean that was written as text."""
        text = self.value if isinstance(self.value, str) else ""
        number = re.fullmatch(r"[-+]?[0-9]{1,18}", text) and {"integer", "number"} & set(wanted)
        boolean = text in ("true", "false") and "boolean" in wanted
        return f"write {text} without quotes" if number or boolean else ""

    def _with_blank(self, wanted: Sequence[str]) -> str:
        """Return the help for `a:1` in a line of its own where a map is expected."""
        return missing_blank(self.value) if isinstance(self.value, str) and "object" in wanted else ""

    def choice(self) -> Iterator[Diagnostic]:
        options = [str(option) for option in self.failure.validator_value]
        help = _nearest(str(self.value), tuple(options)) or f"one of: {', '.join(options)}"
        detail = f"{self.name} is {_show_value(self.value)}."
        yield self._say("a value that is not one of those allowed", detail, help, self.place)

    def range(self) -> Iterator[Diagnostic]:
        limit = self.failure.validator_value
        side = "least" if self.failure.validator == "minimum" else "most"
        detail = f"{self.name} is {_show_value(self.value)}; it must be at {side} {limit}."
        yield self._say("a value that is out of range", detail, self.explanation(), self.place)

    def form(self) -> Iterator[Diagnostic]:
        detail = f"{self.name} is {_show_value(self.value)}." if not isinstance(self.value, dict | list) else ""
        yield self._say("a value that is not of the right form", detail, self._form_help(), self.place)

    def _form_help(self) -> str:
        return self.explanation()

    def report_repeated(self) -> Iterator[Diagnostic]:
        seen: set[str] = set()
        for number, each in enumerate(self.value):
            identity = _identity(each)
            if identity in seen:
                steps = (*self.steps, number)
                detail = f"{_show_value(each)} is in {self.name} before."
                yield self._say("listed twice", detail, "remove one of the two", self.document.at(*steps), steps)
            seen.add(identity)


class _KeyWords(_Words):
    """The same for an error of a key itself: jsonschema gives the map's path and the key as the value."""

    @property
    def name(self) -> str:
        return "The key"

    @property
    def place(self) -> Span:
        return self.document.key_at(*self.steps, self.value)

    def _form_help(self) -> str:
        of_map: Any = self.document.data
        for step in self.steps:
            of_map = of_map[step]
        return missing_blank(self.value, of_map[self.value]) or self.explanation()


def _form(words: _Words) -> Iterator[Diagnostic]:
    of_key = "propertyNames" in words.failure.absolute_schema_path
    return (_KeyWords(words.document, words.failure) if of_key else words).form()


_SAY: Mapping[str, Callable[[Any], Iterator[Diagnostic]]] = {
    "additionalProperties": _Words.unknown_keys,
    "required": _Words.missing_keys,
    "type": _Words.kind,
    "enum": _Words.choice,
    "minimum": _Words.range,
    "maximum": _Words.range,
    "pattern": _form,
    "uniqueItems": _Words.report_repeated,
}


def _written_as(key: str, value: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """Return the key of the map that was probably meant for the one that is missing."""
    from difflib import get_close_matches

    close = get_close_matches(key, [each for each in value if each not in known], 1, 0.8)
    return close[0] if close else ""


def _known_keys(key: str, known: tuple[str, ...], suggest: bool) -> str:
    if "config" in known and "." in key:
        return f"write settings of Kafka and Connect under `config:`: `config: {{{key}: …}}`"
    if key == "defaults":
        return DEFAULTS_PLACE
    if suggest and (near := _nearest(key, known)):
        return near
    return f"known keys: {', '.join(known)}" if known else ""


@lru_cache(maxsize=10_000)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, 1) if len(word) < 80 else []
    return f"did you mean `{close[0]}`?" if close else ""
