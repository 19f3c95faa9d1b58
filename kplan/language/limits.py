"""What a stack asks to be computed, within bounds: regular expressions and JSON Schemas of its own.

Python's `re` cannot be stopped and takes exponential time for some patterns, such as `(a|a)*$`; the package `regex`
takes a limit. References in a schema can lead to other files and hosts, around in circles, or to exponential work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final

MOST_WORK: Final = 1_000_000  # steps that Python's own `re` may take: some milliseconds
MOMENT: Final = 0.005  # seconds that are enough for a search; what takes longer is asked again
PATIENCE: Final = 0.5  # seconds for such a one
MOST_SLOW: Final = 10  # of them for each pattern
MOST_STEPS: Final = 5_000_000  # parts of a schema times what is held against it
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


class TooSlow(ValueError):
    """A regular expression that takes too long; the message is one for its author."""


class Pattern:
    """A regular expression that is searched for within bounds. Raises ValueError where it is none."""

    def __init__(self, text: str, flags: int = 0) -> None:
        self.text = text
        self._flags = flags
        self._slow = 0
        self._exponent = _exponent(text)
        try:
            self._plain = re.compile(text, flags)
        except (re.error, RecursionError, OverflowError, MemoryError) as e:
            raise ValueError(str(e) or type(e).__name__) from e

    def found_in(self, subject: str) -> bool:
        """Whether it matches anywhere in `subject`. Raises TooSlow."""
        return self.match(subject, "search") is not None

    def match(self, subject: str, how: str = "fullmatch") -> re.Match[str] | None:
        """Return what `re` would find by its function `how`. Raises TooSlow."""
        if self._exponent is not None and len(subject) ** self._exponent <= MOST_WORK:
            found: re.Match[str] | None = getattr(self._plain, how)(subject)
            return found
        if self._slow < MOST_SLOW:
            for seconds in (MOMENT, PATIENCE):
                try:
                    answer: re.Match[str] | None = getattr(self._stoppable, how)(subject, timeout=seconds)
                except TimeoutError:
                    self._slow += 1
                else:
                    return answer
        raise TooSlow(f"{self.text} takes too long: avoid repetitions inside repetitions, such as (a+)+")

    @cached_property
    def _stoppable(self) -> Any:
        import regex

        try:
            return regex.compile(self.text, regex.ASCII if self._flags & re.ASCII else 0)
        except regex.error as e:
            raise ValueError(str(e)) from e


def _exponent(text: str) -> int | None:
    """Return the power of the subject's length to which the time can grow; None where it can be worse than any."""
    repeated = len(re.findall(r"[*+?{]", text))
    if text.count("(") > 1 or re.search(r"\)[*+?{]", text):
        return None
    return repeated if text.startswith("^") and "|" not in text else repeated + 1


@lru_cache(maxsize=1_000)
def pattern(text: str, flags: int = 0) -> Pattern:
    """Return the pattern; its count of slow searches goes on from one use to the next. Raises ValueError."""
    return Pattern(text, flags)


def schema_problem(schema: Any) -> str:
    """Return why this may not be used as a JSON Schema; empty where it may."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import SchemaError

    if reference := reference_in(schema):
        return f"{reference} is not allowed here: write out what it refers to"
    try:
        # Other formats depend on the packages that are installed.
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(["regex"]))
    except SchemaError as e:
        return str(e.message)
    except RecursionError:
        return "it is nested too deeply"
    return ""


def reference_in(schema: Any) -> str:
    """Return the keyword by which a part of it refers to something; empty where none does."""
    return next((key for part in _parts(schema) for key in _REFERENCES if key in part), "")


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every map in it."""
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            yield each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def size(schema: Any) -> int:
    """Return how many maps it has."""
    return sum(1 for _ in _parts(schema))


def violations(schema: Mapping[str, Any], value: Any) -> Iterator[Any]:
    """Yield jsonschema's errors. Raises TooSlow, and ValueError for a pattern that is none."""
    yield from _validator()(schema).iter_errors(value)


@lru_cache(maxsize=1)
def _validator() -> Any:
    """Return the validator of draft 2020-12 without references, whose patterns are searched for within bounds."""
    from jsonschema import Draft202012Validator, ValidationError
    from jsonschema.validators import extend

    def matches(_: Any, text: str, value: Any, __: Any) -> Iterator[Any]:
        if isinstance(value, str) and not pattern(text).found_in(value):
            yield ValidationError(f"{value!r} does not match {text!r}")

    def properties(validator: Any, patterns: Mapping[str, Any], value: Any, __: Any) -> Iterator[Any]:
        for text, inner in patterns.items() if isinstance(value, dict) else ():
            for key in value:
                if pattern(text).found_in(key):
                    yield from validator.descend(value[key], inner, path=key, schema_path=text)

    def others(validator: Any, inner: Any, value: Any, schema: Mapping[str, Any]) -> Iterator[Any]:
        if not isinstance(value, dict):
            return
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for key in value:
            if key in known or any(pattern(text).found_in(key) for text in patterns):
                continue
            if inner is False:
                yield ValidationError(f"{key!r} is not allowed")
            else:
                yield from validator.descend(value[key], inner, path=key)

    derive: Any = extend
    own = {"pattern": matches, "patternProperties": properties, "additionalProperties": others}
    return derive(Draft202012Validator, own)
