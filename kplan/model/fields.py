"""Readers of JSON that may come from a stranger: each raises ValueError, and nothing else, for another shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

Json = dict[str, Any]
T = TypeVar("T")


def expect_shape(what: object) -> _ExpectedShape:
    """Raise ValueError for data of any other shape than the one expected, inside the `with`."""
    return _ExpectedShape(what)


class _ExpectedShape:
    """A context. A generator would take longer than reading most records does."""

    __slots__ = ("_what",)

    def __init__(self, what: object) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, cause: BaseException | None, trace: object) -> None:
        if isinstance(cause, _WRONG_SHAPE):
            raise ValueError(f"{self._what} cannot be read: {cause}") from cause


_WRONG_SHAPE: Final = (KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def drop_empty(data: Mapping[str, Any]) -> Json:
    return {key: value for key, value in data.items() if value}


def read_mapping(data: Any) -> Mapping[str, Any]:
    if type(data) is not dict and not isinstance(data, Mapping):
        raise ValueError(f"{type(data).__name__} where there should be an object")
    return data


def read_list(fields: Mapping[str, Any], name: str) -> Sequence[Any]:
    data = fields.get(name, [])
    if not isinstance(data, list | tuple):
        raise ValueError(f"`{name}` is not a list")
    return data


def read_each(fields: Mapping[str, Any], name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
    return tuple(read(data) for data in read_list(fields, name))


def read_texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if name not in fields:
        return ()
    texts = tuple(read_list(fields, name))
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"`{name}` holds an item that is not text")
    return texts


def read_text(fields: Mapping[str, Any], name: str, usual: str = "") -> str:
    value = fields.get(name, usual)
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is not text")
    return value


def read_required_text(fields: Mapping[str, Any], name: str) -> str:
    if not read_text(fields, name):
        raise ValueError(f"`{name}` is missing")
    return read_text(fields, name)


def read_text_map(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    data = read_mapping(fields.get(name, {}))
    return {str(key): read_text(data, key) for key in data}


def read_integer(fields: Mapping[str, Any], name: str, usual: int) -> int:
    value = fields.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"`{name}` is not an integer")
    return value


def read_optional_integer(fields: Mapping[str, Any], name: str) -> int | None:
    return None if fields.get(name) is None else read_integer(fields, name, 0)


def read_flag(fields: Mapping[str, Any], name: str, usual: bool = False) -> bool:
    value = fields.get(name, usual)
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` is neither true nor false")
    return value
