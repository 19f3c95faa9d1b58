"""What a kind of resource is to the rest of kplan. One object of each kind is registered in `kplan.kinds.registry`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from kplan.kinds.comparison import Comparison
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext
from kplan.model import Change, ChangeOptions, Origin, Resource, Risk, Rules, Target, Undo
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

    def encode_options(self, options: ChangeOptions) -> Json:
        """Return the options that are not as usual, at the keys of a change."""

    def decode_options(self, fields: Mapping[str, Any], common: ChangeOptions) -> ChangeOptions:
        """Return the options that a change's fields describe, with what every kind has from `common`."""


class Consequences(Protocol):
    """What a change of one kind brings with it."""

    def decide_undo(self, change: Change, target: Target) -> Undo:
        """Say how `change`, whose risks are known, is put back on this cluster."""

    @property
    def max_wave(self) -> float:
        """How many changes are sent together at most, so that a failure is noticed before all have been touched."""

    def phase(self, change: Change) -> Phase:
        """Return when the change is made, as far as nothing waits for it."""

    def wave_key(self, change: Change) -> Hashable:
        """Return what changes have in common that may be sent together."""

    def waits_for_updates(self, change: Change) -> bool:
        """Whether the change comes after changes, too, of what it uses, not only after their creation."""

    def wants_facts(self, change: Change) -> bool:
        """Whether what is stored, and who reads it, decides how dangerous `change` is."""

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        """Yield what the change loses or cuts off."""

    def finish(self, change: Change, target: Target) -> Change:
        """Return the change with the options that follow from its risks."""

    def complete_undo(self, change: Change, back: Change) -> Change:
        """Return `back`, the plain reverse of `change`, with what this kind needs so that it can be sent."""


class Kind(Protocol[R]):
    """One kind of resource; `name` is the first part of its addresses."""

    @property
    def name(self) -> str: ...

    @property
    def encoding(self) -> Encoding[R]: ...

    @property
    def comparison(self) -> Comparison[R]: ...

    @property
    def consequences(self) -> Consequences: ...
