"""What a kind of resource is to the rest of kplan. One object of each kind is registered in `kplan.kinds.registry`."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Protocol, TypeVar

from kplan.diagnostics import Diagnostic
from kplan.kinds.comparison import Comparison
from kplan.kinds.language import Language
from kplan.kinds.risks import RiskContext
from kplan.kinds.views import Views
from kplan.kinds.wording import Wording
from kplan.model import (
    NO_OPTIONS,
    Address,
    AttrDiff,
    Change,
    ChangeOptions,
    Live,
    Origin,
    Owned,
    Removal,
    Resource,
    Risk,
    Rules,
    Stack,
    Target,
    Undo,
)
from kplan.model.fields import Json
from kplan.model.forecast import Storage, StorageForecast

R = TypeVar("R", bound=Resource)
R_contra = TypeVar("R_contra", bound=Resource, contravariant=True)


class Encoding(Protocol[R]):
    """Resources of one kind, and the options of their changes, as JSON without secrets, and back.

    Each `decode…` raises ValueError, and nothing else, for data of another shape.
    """

    def encode(self, resource: R) -> Json:
        """Return all but the name, the rules and the note."""

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> R:
        """Return the resource that `fields` describe."""

    def rename(self, resource: R, name: str) -> R | None:
        """Return the resource under another name; None where its name says more than what it is called."""
        return None

    def describe(self, resource: R) -> Mapping[str, Any]:
        """Return the attributes, the name among them, as a guard of a stack sees them; a map of settings may hold
        secrets."""

    def encode_options(self, options: ChangeOptions) -> Json:
        """Return the options that are not as usual, at the keys of a change."""
        return {}

    def decode_options(self, fields: Mapping[str, Any], common: ChangeOptions) -> ChangeOptions:
        """Return the options that a change's fields describe, with what every kind has from `common`."""
        return common

    def find_contents(self, resource: R) -> Mapping[str, str]:
        """Return the texts that a plan holds once, by their sha256, and that the encoding names by it alone."""
        return {}

    def with_contents(self, resource: R, contents: Mapping[str, str]) -> R:
        """Return the resource with its text, if it is among those of a plan."""
        return resource


class Consequences(Protocol[R_contra]):
    """What a change of one kind brings with it; a kind inherits it, and overrides what is different."""

    undo_sets_secrets: bool = False  # whether an undo needs values of secrets that no server tells
    judges_undo: bool = False  # whether an undo that a journal asks for is judged by its risks
    max_wave: float = inf  # how many changes are sent together, so that a failure is noticed before all are touched
    max_new_wave: float = inf  # of creations, whose waves begin with twice `max_wave`, and double while all goes well

    def decide_undo(self, change: Change, target: Target) -> Undo:
        """Say how `change`, whose risks are known, is put back on this cluster."""

    def changes_storage(self, change: Change) -> bool:
        """Whether the change decides how many bytes the resource stores."""
        return False

    def forecast(self, change: Change, storage: Storage, now: int | None) -> StorageForecast | None:
        """Return what the resource will store after the change; `now` is in milliseconds since 1970."""
        return None

    def forecast_unchanged(self, resource: R_contra, storage: Storage, now: int) -> StorageForecast | None:
        """Return what the resource will store if it stays as it is."""
        return None

    def choose_options(self, resource: R_contra, diffs: Sequence[AttrDiff]) -> ChangeOptions:
        """Return the options that a stack asks for with each change of the resource."""
        return NO_OPTIONS

    def choose_removal_options(self, entry: Removal) -> ChangeOptions:
        """Return the options that an entry under `removed:` asks for."""
        return NO_OPTIONS

    def add_effects(self, change: Change, live: Live) -> Change:
        """Return the change with what it does in addition to its differences."""
        return change

    def find_follow_ups(
        self,
        stack: Stack,
        live: Live,
        ledger: Mapping[Address, Owned],
        acting: Collection[Address],
        wrong: Collection[Address],
    ) -> Iterator[Change]:
        """Yield the changes that other changes ask for. `acting` are the addresses that change on the servers, `wrong`
        those with an error."""
        return iter(())

    def warn_of_live_state(self, resource: R_contra, live: Live) -> Iterator[Diagnostic]:
        """Yield warnings about the live resource, whether or not it changes."""
        return iter(())

    def warn_of_stack(self, stack: Stack, target: Target) -> Iterator[Diagnostic]:
        """Yield warnings about what a stack declares, on the servers that it is for."""
        return iter(())

    def find_shared(self, stack: Stack, live: Live, changes: Sequence[Change]) -> Iterable[Diagnostic]:
        """Return problems with what two resources have and only one may have. `stack` is all stacks together."""
        return ()

    def may_look_done(self, change: Change) -> bool:
        """Whether the live state may be as planned before the change is over."""
        return False

    def may_look_undone(self, change: Change) -> bool:
        """Whether the live state may be as planned before although the change was made."""
        return False

    def phase(self, change: Change) -> int:
        """Return when the change is made, as far as nothing waits for it."""

    def wave_key(self, change: Change) -> Hashable:
        """Return what changes have in common that may be sent together."""
        return None

    def waits_for_updates(self, change: Change) -> bool:
        """Whether the change comes after changes, too, of what it uses, not only after their creation."""
        return False

    def find_served(self, change: Change) -> Collection[Address]:
        """Return the resources that need what the change makes, where they do not name it themselves."""
        return ()

    def find_provided_variables(self, change: Change) -> Collection[str]:
        """Return the variables whose values the servers accept only once the change is made."""
        return ()

    def keep_additions(self, back: Change) -> Change:
        """Return an undo of an update that leaves what the update may or may not have added, and cannot be removed."""
        return back

    def is_position(self, captured: Mapping[str, Any]) -> bool:
        """Whether what was captured before a change says how far the resource had come."""
        return False

    def has_lost_position(self, now: R_contra, had: Mapping[str, Any], has: Mapping[str, Any]) -> bool:
        """Whether the live resource is no longer where it was: `had` was captured before, `has` now."""
        return False

    def wants_facts(self, change: Change) -> bool:
        """Whether what is stored, and who reads it, decides how dangerous `change` is."""
        return False

    def find_topics_in_question(self, change: Change, names: Collection[str]) -> Collection[str]:
        """Return the topics whose facts decide how dangerous `change` is; `names` are those of all live topics."""
        return [change.address.name] if self.wants_facts(change) else ()

    def find_errors(self, change: Change, context: RiskContext) -> Iterable[Diagnostic]:
        """Return why a change may not be made, whatever is accepted."""
        return ()

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        """Yield what the change loses or cuts off."""
        return iter(())

    def finish(self, change: Change, target: Target) -> Change:
        """Return the change with the options that follow from its risks."""
        return change

    def complete_undo(self, change: Change, back: Change) -> Change:
        """Return `back`, the plain reverse of `change`, with what this kind needs so that it can be sent."""
        return back


class Kind(Protocol[R]):
    """One kind of resource; `name` is the first part of its addresses."""

    @property
    def name(self) -> str: ...

    @property
    def server(self) -> str:
        """Return the name of the server that has the resources, where their address names none."""

    @property
    def section(self) -> str:
        """Return the key of a stack under which the kind's blocks are."""

    @property
    def extends(self) -> tuple[tuple[str, str], ...]:
        """Return the keys that the kind has in blocks of other sections: (section, key)."""

    @property
    def compares_on_server(self) -> bool:
        """Whether the server says if it has a declared state: its backend is a `ComparingBackend`."""

    @property
    def is_in_every_plan(self) -> bool:
        """Whether a plan is about the kind, too, where no stack declares or owns one: others use or share it."""

    @property
    def encoding(self) -> Encoding[R]: ...

    @property
    def language(self) -> Language: ...

    @property
    def comparison(self) -> Comparison[R]: ...

    @property
    def consequences(self) -> Consequences[R]: ...

    @property
    def views(self) -> Views[R]: ...

    @property
    def wording(self) -> Wording: ...

    @property
    def reads_all(self) -> bool:
        """Whether a plan reads all resources of the kind from their server, not by name those that it is about."""

    @property
    def unread_effect(self) -> str:
        """Return what a plan without the kind lacks where the server cannot be read, as the end of a sentence."""

    @property
    def reads_databases(self) -> bool:
        """Whether the resources read databases, which can be looked into."""

    @property
    def move_refusal(self) -> tuple[str, str] | None:
        """Return why a resource cannot get another name, and what to do instead; None where it can."""

    @property
    def holds_secrets(self) -> bool:
        """Whether attributes of the resources may be secrets."""

    def check_name(self, name: str) -> str:
        """Say why no resource can have this name; empty where one can."""
