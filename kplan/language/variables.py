"""Variables: what a stack declares, and where their values come from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import field, replace
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error, warning
from kplan.language import limits as bounded
from kplan.language.source import Document
from kplan.language.template import Scope
from kplan.model import is_sensitive_key
from kplan.values import dataclass

PREFIX = "KPLAN_VAR_"
SIGNING_KEY = "KPLAN_KEY"
PYTHON: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "list": (list,), "map": (dict,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Given:
    """Values from outside the stack, highest first: `--var`, `--var-file`, the process's, those of providers of
    secrets, and the environment's.

    `encrypted` are the names that `--var-file` has encrypted; without servers, their value is None.
    `find_secret` takes a reference and the stack's name, and returns None where no provider is asked.
    """

    flags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    process: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    passwords: tuple[str, ...] = ()  # of the environment: no variable may show one
    encrypted: frozenset[str] = frozenset()
    find_secret: Callable[[str, str], str | Diagnostic | None] = lambda reference, stack: None

    def find(self, name: str, variable: str | None, reference: str = "", stack: str = "") -> tuple[Any, str] | None:
        """Return the value and the words for where it comes from; None where there is none."""
        if name in self.flags:
            return self.flags[name], "--var"
        if name in self.files:
            return self.files[name], "--var-file"
        if PREFIX + name in self.process:
            return self.process[PREFIX + name], PREFIX + name
        if variable and variable in self.process:
            return self.process[variable], variable
        if reference:
            return self.find_secret(reference, stack) if stack else None, reference
        if name in self.environment:
            return self.environment[name], "the environment's variables"
        return None


@dataclass(frozen=True, slots=True)
class Values:
    """Each variable's value and source. A sensitive one is in `sensitive` alone, None: unset."""

    plain: Mapping[str, Any] = field(default_factory=dict)
    sensitive: Mapping[str, str | None] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def unset(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, value in self.sensitive.items() if value is None))

    def scope(self, **names: Any) -> Scope:
        placeholders = dict.fromkeys(self.sensitive, "")
        return Scope({"var": {**self.plain, **placeholders}, **names}, self.sensitive)


def settle(document: Document, given: Given, stack: str = "") -> tuple[Values, list[Diagnostic]]:
    """Return the values of what the stack declares, and what is wrong with them. An unset sensitive one is no problem
    here. Without the name of the `stack`, a variable with `from:` is unset unless something else sets it.
    """
    declared = document.data.get("variables") or {}
    plain: dict[str, Any] = {}
    sensitive: dict[str, str | None] = {}
    sources: dict[str, str] = {}
    problems: list[Diagnostic] = []
    for name, rule in declared.items():
        rule = rule or {}
        found = given.find(name, rule.get("env"), rule.get("from", ""), stack)
        if found is not None and isinstance(found[0], Diagnostic):
            place = document.at("variables", name, "from")
            problems.append(replace(found[0], span=place, path=f"/variables/{name}/from"))
            found = (None, found[1])
        if found is None and "default" in rule:
            found = (rule["default"], "default")
        if rule.get("sensitive"):
            sensitive[name] = None if found is None or found[0] is None else str(found[0])
            sources[name] = found[1] if found else ""
            problems += _sensitive_problem(document, name, rule, sensitive[name])
            continue
        if found is None:
            problems.append(_missing(document, name, rule))
            plain[name] = _stand_in(rule)
            continue
        sources[name] = found[1]
        if problem := _shown_secret(document, name, rule, found, given):
            problems.append(problem)
            plain[name] = _stand_in(rule)
            continue
        try:
            plain[name] = _check_rule(_convert_type(found[0], rule.get("type", "string")), rule)
        except ValueError as e:
            at = (
                document.at("variables", name, "default")
                if found[1] == "default"
                else document.key_at("variables", name)
            )
            detail = f"{name} from {found[1]}: {e}"
            problems.append(
                error(codes.K203, "a variable has a value that it may not have", detail, span=at, help=rule_words(rule))
            )
            plain[name] = _stand_in(rule)
    return Values(plain, sensitive, sources), problems


def find_undeclared(given: Given, places: Mapping[str, Span], declared: Collection[str]) -> list[Diagnostic]:
    """Return an error for each `--var`, and a warning for each name in a file of variables, that no stack declares.

    `places` are those of the names in the files.
    """
    summary, known = "no stack declares this variable", dict.fromkeys(declared)
    found = [
        error(codes.K204, summary, f"--var {name}=…", help=f"declare it under `variables:`{_nearest(name, known)}")
        for name in given.flags
        if name not in known
    ]
    return found + [
        warning(codes.K204, summary, name, help=f"it has no effect{_nearest(name, known)}", span=places.get(name))
        for name in given.files
        if name not in known
    ]


def process_names(name: str, own: str | None) -> str:
    """Return the variables of the process that may give a value; `own` is the one under the variable's `env:`."""
    return f"{PREFIX}{name} or {own} in the process's environment" if own else f"{PREFIX}{name}"


def _missing(document: Document, name: str, rule: Mapping[str, Any]) -> Diagnostic:
    ways = [f"--var {name}=…", process_names(name, rule.get("env")), "a `default:`"]
    return error(
        codes.K202,
        "a variable has no value",
        name,
        help=f"give it one: {', '.join(ways)}",
        span=document.key_at("variables", name),
        path=f"/variables/{name}",
    )


def _shown_secret(
    document: Document, name: str, rule: Mapping[str, Any], found: tuple[Any, str], given: Given
) -> Diagnostic | None:
    """Return the problem with a variable that is not sensitive and would show a secret of the process or the
    environment.

    Whoever writes a stack may name any variable of the process, and so could read the secrets of a CI job in its plan.
    """
    value, source = found
    secret = source == rule.get("env") and (is_sensitive_key(source) or source == SIGNING_KEY)
    secret = secret or bool(rule.get("from")) or (source == "--var-file" and name in given.encrypted)
    if not secret and not any(password in str(value) for password in given.passwords):
        return None
    return error(
        codes.K209,
        "a sensitive value would be shown",
        f"{name} from {source}",
        help="declare the variable with `sensitive: true`",
        span=document.key_at("variables", name),
    )


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _sensitive_problem(document: Document, name: str, rule: Mapping[str, Any], value: str | None) -> list[Diagnostic]:
    """Return what is wrong with a sensitive value, which is not shown."""
    try:
        if value is not None:
            _check_rule(_convert_type(value, rule.get("type", "string")), rule)
    except ValueError:
        summary = "a variable has a value that it may not have"
        return [error(codes.K203, summary, name, help=rule_words(rule), span=document.key_at("variables", name))]
    return []


def rule_words(rule: Mapping[str, Any]) -> str:
    """Return what a variable's value must be, in words."""
    words = [f"it is declared as {rule.get('type', 'string')}"]
    words += [f"{key} {rule[key]}" for key in ("minimum", "maximum", "pattern", "enum") if key in rule]
    return ", ".join(words)


def _stand_in(rule: Mapping[str, Any]) -> Any:
    """Return a value of the right type, so that one missing variable is one problem and not twenty."""
    kinds: dict[str, Any] = {
        "integer": rule.get("minimum", 1),
        "number": rule.get("minimum", 1.0),
        "boolean": False,
        "list": [],
        "map": {},
    }
    return kinds.get(rule.get("type", "string"), "unset")


def _convert_type(value: Any, kind: str) -> Any:
    """Return `value` as the declared type: text from the command line or a process's environment is read as one."""
    fits = PYTHON[kind]
    if isinstance(value, fits) and not (isinstance(value, bool) and kind in ("integer", "number")):
        return value
    if kind == "string" and isinstance(value, int | float | bool):
        return json.dumps(value)
    if not isinstance(value, str):
        raise ValueError(f"expected {kind}, got {type(value).__name__}")
    if kind == "integer" and re.fullmatch(r"[+-]?\d{1,18}", value.strip()):
        return int(value)
    if kind == "number" and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", value.strip()):
        return float(value)
    if kind == "boolean" and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if kind in ("list", "map"):
        try:
            data = json.loads(value)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, fits):
            return data
        raise ValueError(f"expected a {kind}, written as JSON")
    raise ValueError(f"expected {kind}, got {value!r}")


def _check_rule(value: Any, rule: Mapping[str, Any]) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and "minimum" in rule and value < rule["minimum"]:
        raise ValueError(f"{value} is below the minimum {rule['minimum']}")
    if number and "maximum" in rule and value > rule["maximum"]:
        raise ValueError(f"{value} is above the maximum {rule['maximum']}")
    if "enum" in rule and value not in rule["enum"]:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, rule['enum']))}")
    if "pattern" in rule and isinstance(value, str) and not bounded.pattern(rule["pattern"]).found_in(value):
        raise ValueError(f"{value!r} does not match {rule['pattern']}")
    return value
