"""What views need of a kind: status, list, drift, snapshot, lineage, and the steps of a plan.

A kind gives data and nouns here; sentences are made in `kplan.render`. The defaults suit a resource that holds no
records, moves none, and is well once it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from kplan.model import Address, Facts, Health, Live, Resource
from kplan.model.fields import Json
from kplan.values import dataclass

R_contra = TypeVar("R_contra", bound=Resource, contravariant=True)
Flow = tuple[str, str]  # records go from the first to the second; both are ids of a graph: addresses and tables
Shape = Literal["box", "rounded"]


@dataclass(frozen=True, slots=True)
class LiveResource:
    """What the servers say of one resource; what they do not say, or what was not read, is None or empty."""

    resource: Resource
    health: Health | None = None
    facts: Facts | None = None
    id: str = ""


@dataclass(frozen=True, slots=True)
class Retention:
    """For how long records are kept: in words, and in milliseconds; None where no stack says it."""

    text: str
    ms: int | None = None


@dataclass(frozen=True, slots=True)
class FoldWords:
    """What several steps are together: `title` is what they are about, `parts` what they do, in order."""

    title: str
    noun: str
    parts: tuple[str, ...] = ()


class Views(Protocol[R_contra]):
    """What is shown of the resources of one kind; a kind inherits it, and overrides what is different."""

    plural: str  # the noun for several, and the key of a document's part about them
    singular: str = ""  # the noun for one; empty: the name of the kind
    snapshot_key: str = ""  # the key of a snapshot's part about them, where it is not the noun
    shape: Shape = "box"  # in a drawing
    is_in_every_document: bool = False  # whether a document has its part even where a stack declares none of it
    holds_records: bool = False  # a resource that is created again is empty; its facts and its id can be read
    moves_records: bool = False  # lineage shows each by itself, with what it feeds and reads
    has_health: bool = False  # whether status shows how each resource runs, rather than whether it is as declared
    is_ready_when_there: bool = True  # whether one can wait for a resource by its name

    attribute_noun: str = "attribute"
    undo_omits: frozenset[str] = frozenset()  # paths of attributes that an undo does not simply set back

    # -- list -----------------------------------------------------------------------------------------------------
    def is_internal(self, name: str, is_owned: bool, internal_topics: Collection[str]) -> bool:
        """Whether a list shows the resource only to who asks for it; `internal_topics` are those of Connect that
        kplan.yaml names.
        """
        return False

    def describe_row(self, resource: R_contra, health: Health | None) -> Json:
        """Return what the row of a list says of a live resource in addition to its address and its stack."""
        return {}

    # -- describe -------------------------------------------------------------------------------------------------
    def list_related_names(self, address: Address) -> Collection[str] | None:
        """Return the names of this kind that may be about a resource of another kind; None: any name may be."""
        return ()

    def is_related(self, resource: R_contra, address: Address, principals: Collection[str]) -> bool:
        """Whether a live resource is about the one of another kind, or about one of the `principals` that use it."""
        return True

    def find_principals(self, resource: R_contra) -> Collection[str]:
        """Return the principals that the resource is about."""
        return ()

    # -- status ---------------------------------------------------------------------------------------------------
    def find_watched_topics(self, resource: R_contra) -> Iterable[str]:
        """Return the names of topics whose facts tell how far the resource is."""
        return ()

    def is_to_run(self, resource: R_contra) -> bool:
        """Whether the resource is declared as one that runs, so that it is restarted where it has failed."""
        return False

    def describe_health(self, resource: R_contra, live: Live, facts: Mapping[Address, Facts], now: int) -> Json:
        """Return how a declared resource runs, `healthy` and `state` among it; `now` is in milliseconds since 1970."""
        is_there = resource.address in live.resources
        return {"healthy": is_there, "state": "RUNNING" if is_there else "MISSING", "declared": "running", "tasks": []}

    def describe_presence(self, declared: Sequence[R_contra], live: Live, tries_logins: bool) -> Json:
        """Return what a status says of declared resources in addition to which are there and as declared.

        With `tries_logins` users have logged in.
        """
        return {}

    # -- snapshot -------------------------------------------------------------------------------------------------
    def is_left_out(self, name: str) -> bool:
        """Whether a snapshot leaves the resource out where no stack declares or owns it."""
        return False

    def encode_live(self, resource: R_contra, live: Live, encoded: Json) -> Json:
        """Return a live resource as a snapshot holds it; `encoded` is how other documents do."""
        return encoded

    def decode_live(self, name: str, fields: Mapping[str, Any], decode: Callable[[], Resource]) -> LiveResource:
        """Return what `encode_live` made `fields` of; `decode` reads what other documents hold too.

        Raises ValueError, TypeError, KeyError or AttributeError for data of another shape.
        """
        return LiveResource(decode())

    # -- a step of a plan -----------------------------------------------------------------------------------------
    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        """Return what a new resource is in addition to its `config`, with short names; `fields` are its encoding."""
        return [(key, value) for key, value in fields.items() if key not in ("config", "rules", "note")]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        """Return what a new resource is in a few words; `fields` are its encoding."""
        return ""

    def describe_retention(self, fields: Mapping[str, Any]) -> Retention | None:
        """Return for how long a resource that holds records keeps them; `fields` are its encoding."""
        return None

    def summarize_deleted(self, fields: Mapping[str, Any]) -> str:
        """Return what a deletion takes away in a few words, where its address does not say it."""
        return ""

    def fold_key(self, change: Mapping[str, Any]) -> Hashable | None:
        """Return what steps in a row have in common that views show as one; None: the step is always alone.

        `change` is a step of a plan's document. A step with a danger or a caution is alone whatever this returns.
        """
        return None

    def describe_fold(self, changes: Sequence[Mapping[str, Any]]) -> FoldWords:
        """Return the words for steps with the same key."""
        return FoldWords("", "")

    def count_units(self, fields: Mapping[str, Any]) -> Mapping[str, int | None]:
        """Return how much of what costs something the resource has, by the noun; None: the server decides it.

        `fields` are its encoding.
        """
        return {}

    # -- lineage --------------------------------------------------------------------------------------------------
    def find_flows(self, address: str, fields: Mapping[str, Any]) -> Iterable[Flow]:
        """Return what flows into the resource and out of it, each flow once; `fields` are its encoding."""
        return ()

    def match_flows(self, address: str, fields: Mapping[str, Any], known: Collection[str]) -> Iterable[Flow]:
        """Return what flows by a pattern, which only all `known` ids of the graph can tell."""
        return ()
