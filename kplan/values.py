"""Make dataclasses as the standard library does, in a tenth of its time.

The standard library compiles up to seven methods of a class one by one, which takes half a millisecond for a frozen
class: a plan needs 140 classes, and makes values of half of them. This decorator only makes the slots. Its descriptors
compile `__init__` and make the list of fields when they are first asked for, and so do `__eq__` and `__hash__`; all
other methods are shared. `fields`, `replace` and `asdict` of `dataclasses` work as always.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
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
        annotations: Mapping[str, Any] = cls.__annotations__
        if not all(isinstance(annotation, str) for annotation in annotations.values()):
            return dataclasses.dataclass(frozen=frozen, slots=True, eq=eq)(cls)
        own = [name for name, annotation in annotations.items() if not annotation.startswith(_CLASS_VARIABLES)]
        defaults = {name: cls.__dict__[name] for name in own if name in cls.__dict__}
        bases: list[Any] = [base for base in cls.__mro__[1:] if hasattr(base, "__dataclass_params__")]
        if any(base.__dataclass_params__.frozen is not frozen for base in bases):
            raise TypeError("a frozen class and one that is not do not inherit from each other")
        inherited = bases[0].__match_args__ if bases else ()
        positional = [name for name in own if name not in inherited and _is_positional(defaults.get(name))]
        made: Any = _add_slots(cls, own, (*inherited, *positional))
        made.__dataclass_params__ = _PARAMETERS[frozen, eq]
        made.__dataclass_fields__ = _LateFields(made, {name: annotations[name] for name in own}, defaults)
        if "__init__" not in made.__dict__:
            made.__init__ = _LateInit(made, frozen)
        _add(made, "__repr__", _repr)
        if eq:
            _add_comparison(made, frozen)
        if frozen:
            made.__setattr__, made.__delattr__ = _refuse_value, _refuse_deletion
            _add(made, "__getstate__", _get_state)
            _add(made, "__setstate__", _set_state)
        result: type = made
        return result

    return make


def _is_positional(default: object) -> bool:
    """Return whether a field with this default is a positional parameter of `__init__`."""
    return not isinstance(default, dataclasses.Field) or (default.init and default.kw_only is not True)


def _make_parameters(frozen: bool, eq: bool) -> Any:
    """Return what the standard library keeps of a decorator's options, for classes that inherit."""
    return dataclasses.dataclass(frozen=frozen, eq=eq, repr=False)(type("Example", (), {})).__dataclass_params__  # type: ignore[attr-defined]


_CLASS_VARIABLES = ("ClassVar", "typing.ClassVar")
_PARAMETERS = {(frozen, eq): _make_parameters(frozen, eq) for frozen in (True, False) for eq in (True, False)}
_OWN_TYPE: Any = dataclasses.fields(dataclasses.make_dataclass("Example", ["a"], eq=False, repr=False))[0]._field_type  # type: ignore[attr-defined]


def _add_slots(cls: type, names: Sequence[str], match_args: tuple[str, ...]) -> type:
    """Return the class again, with slots instead of a dictionary, and what patterns match by position."""
    inherited = {slot for base in cls.__mro__[1:] for slot in base.__dict__.get("__slots__", ())}
    members = {name: value for name, value in cls.__dict__.items()
               if name not in names and name not in ("__dict__", "__weakref__")}  # fmt: skip
    members["__match_args__"] = match_args
    members["__slots__"] = tuple(name for name in names if name not in inherited)
    made = type(cls)(cls.__name__, cls.__bases__, members)
    made.__qualname__ = cls.__qualname__
    return made


class _LateFields:
    """The fields of a class, as `dataclasses` keeps them; made at the first question for them."""

    def __init__(self, cls: type, annotations: Mapping[str, str], defaults: Mapping[str, Any]) -> None:
        self._cls = cls
        self._annotations = annotations
        self._defaults = defaults

    def __get__(self, value: object, owner: type) -> dict[str, dataclasses.Field[Any]]:
        fields: dict[str, dataclasses.Field[Any]] = {}
        for base in reversed(self._cls.__mro__[1:]):
            fields |= getattr(base, "__dataclass_fields__", {})
        for name, annotation in self._annotations.items():
            default = self._defaults.get(name, _MISSING)
            field: Any = default if isinstance(default, dataclasses.Field) else dataclasses.field(default=default)
            field.name, field.type, field._field_type = name, annotation, _OWN_TYPE
            field.kw_only = field.kw_only is True
            fields[name] = field
        self._cls.__dataclass_fields__ = fields  # type: ignore[attr-defined]
        return fields


class _LateInit:
    """The `__init__` of a class; compiled at the first call or question for its signature."""

    def __init__(self, cls: type, frozen: bool) -> None:
        self._cls = cls
        self._frozen = frozen

    def __get__(self, value: object, owner: type) -> Any:
        init = _compile_init(self._cls, dataclasses.fields(self._cls), self._frozen)
        init.__name__, init.__qualname__ = "__init__", f"{self._cls.__qualname__}.__init__"
        self._cls.__init__ = init  # type: ignore[misc]
        return init if value is None else init.__get__(value, owner)


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


@recursive_repr()
def _repr(self: Any) -> str:
    shown = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in dataclasses.fields(self) if f.repr)
    return f"{type(self).__qualname__}({shown})"


def _add_comparison(cls: type, frozen: bool) -> None:
    def compile_later(name: str, text: str) -> None:
        def method(self: Any, *others: Any) -> Any:
            names = [field.name for field in dataclasses.fields(cls) if field.compare]
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


def _get_state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: Sequence[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


def _refuse_value(self: object, name: str, value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, **options):
        return _make_dataclass(**options) if cls is None else _make_dataclass(**options)(cls)
