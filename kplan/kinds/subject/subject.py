"""A subject of a schema registry: its latest schema, and its compatibility level.

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar, Final

from kplan.kinds.parts import decode_part, encode_part
from kplan.model import EMPTY, Resource
from kplan.values import dataclass

NONE: Final = "NONE"
_BACKWARD, _FORWARD = frozenset({"backward"}), frozenset({"forward"})
_ALL_BACKWARD, _ALL_FORWARD = _BACKWARD | {"backward to all"}, _FORWARD | {"forward to all"}
# What each level promises; a level is looser than another one if it does not promise all that the other one does.
LEVELS: Final[Mapping[str, frozenset[str]]] = {
    NONE: frozenset(),
    "BACKWARD": _BACKWARD,
    "BACKWARD_TRANSITIVE": _ALL_BACKWARD,
    "FORWARD": _FORWARD,
    "FORWARD_TRANSITIVE": _ALL_FORWARD,
    "FULL": _BACKWARD | _FORWARD,
    "FULL_TRANSITIVE": _ALL_BACKWARD | _ALL_FORWARD,
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A schema that another one uses. Without `version` it is the one that the same plan registers, else the latest."""

    name: str
    subject: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Subject(Resource):
    """`name` is the encoded name. Without a `fingerprint` the resource is the subject's level alone.

    `fingerprint` is the sha256 of the normalized `text`, which only a declared subject and a live one have. Of a live
    subject `version` is the latest; `equals` has the fingerprints of other texts that the registry takes for it, and
    `earlier` those that are registered, by their older version. `file` is where a declared text was read. `unwanted`
    are versions that are to be deleted or, of a live subject, those of them that are there.
    """

    kind: ClassVar[str] = "subject"

    schema_type: str = ""
    fingerprint: str = ""
    references: tuple[Reference, ...] = ()
    level: str | None = None
    text: str = field(default="", compare=False, repr=False)
    version: int | None = field(default=None, compare=False)
    equals: frozenset[str] = field(default=frozenset(), compare=False)
    earlier: Mapping[str, int] = field(default_factory=lambda: EMPTY, compare=False)
    file: str = field(default="", compare=False)
    unwanted: tuple[int, ...] = field(default=(), compare=False)

    @property
    def subject_name(self) -> str:
        return decode_part(self.name)

    @property
    def is_level_only(self) -> bool:
        return not self.fingerprint


def name_subject(subject: str) -> str:
    """Return the name that the address of a subject has."""
    return encode_part(subject)


def check_name(name: str) -> str:
    """Say why no subject has this name; empty where one can."""
    return "" if name and encode_part(decode_part(name)) == name else f"write {encode_part(decode_part(name))}"


def is_looser(level: str | None, than: str | None) -> bool:
    """Whether `level` lets pass what the other one refuses; None: what the registry has for all subjects."""
    if level is None or than is None:
        return False
    return not LEVELS.get(level, frozenset()) >= LEVELS.get(than, frozenset())


def is_transitive(level: str) -> bool:
    """Whether the level is about all versions, not about the latest one alone."""
    return level.endswith("_TRANSITIVE")
