"""Make dataclasses as the standard library does, in a quarter of its time.

The standard library compiles up to seven methods of a class one by one, which takes half a millisecond for a frozen
class: a plan needs a hundred classes. This decorator compiles `__init__`, and `__eq__` and `__hash__` at their first
call; all others are shared. `fields`, `replace` and `asdict` of `dataclasses` work as always.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ("dataclass",)
_MISSING = dataclasses.MISSING
_EQUAL = """
def __eq__(self, other):
    return ({own}) == ({others}) if other.__class__ is self.__class__ else NotImplemented
"""
_HASH = """
def __hash__(self):
    return hash(({own}))
"""


def _make_dataclass(
    *, frozen: bool = False, slots: bool = False, eq: bool = True, **options: Any
) -> Callable[[type], type]:
    """Return a decorator. Options other than `frozen`, `slots=True` and `eq` are left to the standard library."""
    if options or not slots:
        return dataclasses.dataclass(frozen=frozen, slots=slots, eq=eq, **options)

    def make(cls: type) -> type:
        # Only a frozen class may inherit from a frozen one: `dataclasses` checks what it is told.
        inherits = frozen and any(map(dataclasses.is_dataclass, cls.__bases__))
        made: type = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True, frozen=inherits)(cls)
        made.__dataclass_params__.frozen = frozen  # type: ignore[attr-defined]
        fields = dataclasses.fields(made)
        _add(made, "__init__", _compile_init(made, fields, frozen))
        _add(made, "__repr__", _make_repr([field.name for field in fields if field.repr]))
        if eq:
            _add_comparison(made, [field.name for field in fields if field.compare], frozen)
        if frozen:
            _freeze(made, [field.name for field in fields])
        return made

    return make


def _add(cls: type, name: str, method: Callable[..., Any]) -> None:
    """Set a method of `cls`, unless the class has its own."""
    if name not in cls.__dict__:
        method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
        setattr(cls, name, method)


def _compile(name: str, text: str, names: dict[str, Any]) -> Callable[..., Any]:
    exec(text, names)
    method: Callable[..., Any] = names[name]
    return method


def _compile_init(cls: type, fields: Sequence[dataclasses.Field[Any]], frozen: bool) -> Callable[..., Any]:
    names: dict[str, Any] = {"_missing": _MISSING}
    positional: list[str] = ["self"]
    keywords: list[str] = []
    body: list[str] = []
    for field in (field for field in fields if field.init):
        name, value = field.name, field.name
        parameter = name
        if field.default is not _MISSING:
            names[f"_default_{name}"] = field.default
            parameter = f"{name}=_default_{name}"
        elif field.default_factory is not _MISSING:
            names[f"_make_{name}"] = field.default_factory
            parameter, value = f"{name}=_missing", f"_make_{name}() if {name} is _missing else {name}"
        (keywords if field.kw_only else positional).append(parameter)
        names[f"_set_{name}"] = getattr(cls, name).__set__  # of the slot: faster than object.__setattr__
        body.append(f" _set_{name}(self, {value})" if frozen else f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append(" self.__post_init__()")
    parameters = ", ".join([*positional, *(["*", *keywords] if keywords else [])])
    init = _compile("__init__", f"def __init__({parameters}):\n" + "\n".join(body or [" pass"]), names)
    init.__annotations__ = {**{field.name: field.type for field in fields if field.init}, "return": None}
    return init


def _make_repr(names: Sequence[str]) -> Callable[[Any], str]:
    @recursive_repr()
    def __repr__(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return __repr__


def _add_comparison(cls: type, names: Sequence[str], frozen: bool) -> None:
    def compile_later(name: str, text: str) -> None:
        def method(self: Any, *others: Any) -> Any:
            own, other = ("".join(f"{value}.{name}, " for name in names) for value in ("self", "other"))
            compiled = _compile(name, text.format(own=own, others=other), {})
            setattr(cls, name, compiled)
            return compiled(self, *others)

        _add(cls, name, method)

    compile_later("__eq__", _EQUAL)
    if frozen:
        compile_later("__hash__", _HASH)
    else:
        cls.__hash__ = None  # type: ignore[assignment]


def _freeze(cls: type, names: Sequence[str]) -> None:
    def __getstate__(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: Sequence[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    cls.__setattr__, cls.__delattr__ = _refuse_value, _refuse_deletion  # type: ignore[assignment]
    _add(cls, "__getstate__", __getstate__)
    _add(cls, "__setstate__", __setstate__)


def _refuse_value(self: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, **options):
        return _make_dataclass(**options) if cls is None else _make_dataclass(**options)(cls)
