"""What kplan asks of a schema registry, and how a registry refuses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from kplan.diagnostics import KplanError, Rejected, codes
from kplan.kinds.subject.subject import Reference
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema with its type; `version` and `id` are those that the registry gave it, 0 where it was not asked."""

    schema_type: str
    text: str
    references: tuple[Reference, ...] = ()
    version: int = 0
    id: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a schema is compatible; `messages` say why not, in the registry's words."""

    is_compatible: bool
    messages: tuple[str, ...] = ()


class NotFound(KplanError):
    """There is no such subject, version or schema."""

    entry = codes.K314


class NotCompatible(Rejected):
    """The registry refuses a schema by the subject's level."""

    entry = codes.K341


class Registry(Protocol):
    """A schema registry. Each method raises KplanError; what is not there is None, or empty, where one asks for it.

    `keeps_none`: a subject can have the level NONE of its own. `gives_reasons`: it says why schemas do not fit.
    """

    keeps_none: bool

    @property
    def retries(self) -> int: ...

    def list_subjects(self) -> Collection[str]:
        """Return the names of all subjects that are not deleted."""

    def list_versions(self, subject: str, *, deleted: bool = False) -> Sequence[int]:
        """Return the versions, those that were deleted softly among them if `deleted`."""

    def read_version(self, subject: str, version: int | None = None) -> RegisteredSchema | None:
        """Return one version, the latest without a number."""

    def read_schema(self, schema_id: int) -> RegisteredSchema:
        """Return a schema by its id, also if its subject is deleted softly. Raises NotFound."""

    def find(self, subject: str, schema: RegisteredSchema) -> RegisteredSchema | None:
        """Return the version that has the schema, by the registry's own comparison."""

    def check(self, subject: str, schema: RegisteredSchema, *, all_versions: bool) -> Verdict:
        """Return whether the subject's level accepts a schema, without registering it. A new subject takes any."""

    def register(self, subject: str, schema: RegisteredSchema) -> int:
        """Add a schema and return its id. One that is registered gets no second version. Raises NotCompatible."""

    def delete_version(self, subject: str, version: int) -> None:
        """Delete a version softly; one that is deleted is left alone."""

    def delete_subject(self, subject: str, *, permanent: bool = False) -> None:
        """Delete all versions softly; `permanent`: for good, after the soft deletion."""

    def read_level(self, subject: str) -> str | None:
        """Return the subject's own compatibility level; None where it has the registry's."""

    def read_global_level(self) -> str: ...

    def set_level(self, subject: str, level: str) -> None:
        """Set the subject's own level. Raises NotFound where a registry sets none of a subject that is not there."""

    def delete_level(self, subject: str) -> None:
        """Give the subject the registry's level again."""

    def read_mode(self, subject: str) -> str:
        """Return READWRITE, READONLY or IMPORT; empty where a registry has no modes."""

    def close(self) -> None: ...
