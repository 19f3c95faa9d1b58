"""What a kind of resource is to the rest of kplan. One object of each kind is registered in `kplan.kinds.registry`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from kplan.model import Change, Options, Origin, Resource, Rules, Target, Undo
from kplan.model.fields import Json

R = TypeVar("R", bound=Resource)


class Encoding(Protocol[R]):
    """Resources of one kind, and the options of their changes, as JSON without secrets, and back.

    Each `decode…` raises ValueError, and nothing else, for data of another shape.
    """

    def encode(self, resource: R) -> Json:
        """Return all but the name, the rules and the note."""

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> R:
        """Return the resource that `fields` describe."""

    def encode_options(self, options: Options) -> Json:
        """Return the options that are not as usual, at the keys of a change."""

    def decode_options(self, fields: Mapping[str, Any], common: Options) -> Options:
        """Return the options that a change's fields describe, with what every kind has from `common`."""


class Consequences(Protocol):
    """What a change of one kind brings with it."""

    def decide_undo(self, change: Change, target: Target) -> Undo:
        """Say how `change` is put back on this cluster."""

    def complete_undo(self, change: Change, back: Change) -> Change:
        """Return `back`, the plain reverse of `change`, with what this kind needs so that it can be sent."""


class Kind(Protocol[R]):
    """One kind of resource; `name` is the first part of its addresses."""

    @property
    def name(self) -> str: ...

    @property
    def encoding(self) -> Encoding[R]: ...

    @property
    def consequences(self) -> Consequences: ...
