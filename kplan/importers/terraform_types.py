"""The types of Terraform's variables, which complete a value: `optional` attributes of an object have defaults.

Source: https://developer.hashicorp.com/terraform/language/expressions/type-constraints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from kplan.importers.reading import to_text
from kplan.importers.terraform_expressions import NUMBER, Opaque, Spend, UnknownValue, evaluate
from kplan.values import dataclass

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class OptionalAttribute:
    """An attribute that an object may lack."""

    convert: Convert
    default: Any = None


def complete_value(value: Any, type_text: str, spend: Spend) -> Any:
    """Return the value as a variable of this type has it; as it is where the type is not understood."""
    try:
        convert = evaluate(type_text, _refuse, PRIMITIVES, spend, CONSTRUCTORS)
    except UnknownValue:
        return value
    return convert(value) if callable(convert) else value


def _refuse(kind: str, name: str) -> NoReturn:
    raise UnknownValue(f"{kind}.{name}")


def _keep(value: Any) -> Any:
    return value


def _to_text(value: Any) -> Any:
    return to_text(value) if isinstance(value, bool | int | float) else value


def _to_number(value: Any) -> Any:
    if not isinstance(value, str) or NUMBER.fullmatch(value.removeprefix("-")) is None:
        return value
    return int(value) if value.removeprefix("-").isdigit() else float(value)


def _make_map(convert: Convert) -> Convert:
    return lambda value: {key: convert(each) for key, each in value.items()} if isinstance(value, dict) else value


def _make_list(convert: Convert) -> Convert:
    return lambda value: [convert(each) for each in value] if isinstance(value, list) else value


def _make_set(convert: Convert) -> Convert:
    def collect(value: Any) -> Any:
        items = [convert(each) for each in value] if isinstance(value, list) else value
        is_plain = isinstance(items, list) and all(isinstance(each, str | int | float) for each in items)
        return sorted(dict.fromkeys(items), key=str) if is_plain else items

    return collect


def _make_object(attributes: Mapping[str, Any]) -> Convert:
    """Return what gives an object the attributes that it lacks. Terraform drops those that are not of the type."""

    def complete(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        completed: dict[str, Any] = {}
        for name, attribute in attributes.items():
            optional = attribute if isinstance(attribute, OptionalAttribute) else None
            convert = optional.convert if optional else attribute
            given = value.get(name)
            if name in value and (optional is None or not _is_null(given)):
                completed[name] = convert(given) if callable(convert) else given
            elif optional is not None:
                completed[name] = optional.default
        return completed

    return complete


def _is_null(value: Any) -> bool:
    return not isinstance(value, Opaque) and value is None


PRIMITIVES: Final[Mapping[str, Convert]] = {"string": _to_text, "number": _to_number, "bool": _keep, "any": _keep}
CONSTRUCTORS: Final[Mapping[str, Callable[..., Any]]] = {
    "map": _make_map,
    "list": _make_list,
    "set": _make_set,
    "tuple": lambda types: _keep,
    "object": _make_object,
    "optional": OptionalAttribute,
}
