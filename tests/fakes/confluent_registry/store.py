"""What the imitated registry keeps: versions with their schemas, ids, levels and modes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fakes.confluent_registry.answers import Refusal, write_message
from tests.fakes.confluent_registry.schemas import Schema, store_schema

GLOBAL_LEVEL, GLOBAL_MODE = "BACKWARD", "READWRITE"  # of a new registry
READ_ONLY = ("READONLY", "READONLY_OVERRIDE")


@dataclass
class Version:
    number: int
    id: int
    schema: Schema
    deleted: bool = False


class Store:
    """The registry's contents. `needs_subject`: it sets a level only of a subject that is there, as some versions do.

    A soft deletion of a subject leaves its level: KafkaStoreMessageHandler.handleDeleteSubject. With `forgets_level`
    it removes it, as the API's reference says: core/generated/swagger-ui/schema-registry-api-spec.yaml, deleteSubject.
    """

    def __init__(self, *, needs_subject: bool = False, forgets_level: bool = False) -> None:
        self.needs_subject, self.forgets_level = needs_subject, forgets_level
        self.lock = threading.Lock()
        self.requests: list[str] = []
        self.subjects: dict[str, dict[int, Version]] = {}
        self.ids: dict[tuple[object, ...], int] = {}
        self.levels: dict[str, str] = {"": GLOBAL_LEVEL}  # the empty name: of the whole registry
        self.modes: dict[str, str] = {"": GLOBAL_MODE}

    def list_versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        versions = self.subjects.get(subject, {}).values()
        return sorted((each for each in versions if deleted or not each.deleted), key=lambda each: each.number)

    def find_version(self, subject: str, text: str, *, deleted: bool = False) -> Version:
        """Return a version by its number or `latest`. Raises Refusal."""
        number = parse_version(text)
        versions = self.list_versions(subject, deleted=deleted)
        if not versions:
            raise Refusal("subject_not_found", subject=subject)
        if number == -1:
            return versions[-1]
        for version in versions:
            if version.number == number:
                return version
        raise Refusal("version_not_found", version=number)

    def read_schema(self, body: Any) -> Schema:
        """Return the schema of a request. Raises Refusal for an invalid one, and for references to nothing."""
        schema_type, references, parts = body.get("schemaType", "AVRO"), [], []
        for each in body.get("references", ()):
            wanted = "latest" if each["version"] == -1 else str(each["version"])
            try:
                found = self.find_version(each["subject"], wanted)
            except Refusal as refusal:
                details = write_message("no_reference", subject=each["subject"], version=each["version"])
                raise Refusal("invalid_schema", type=schema_type, details=details) from refusal
            references.append((each["name"], each["subject"], found.number))
            parts += [*found.schema.parts, found.schema.text]
        return store_schema(schema_type, body["schema"], references, list(dict.fromkeys(parts)))

    def find_same(self, subject: str, schema: Schema, *, deleted: bool = False) -> Version | None:
        versions = reversed(self.list_versions(subject, deleted=deleted))
        return next((each for each in versions if each.schema.identity == schema.identity), None)

    def add(self, subject: str, schema: Schema) -> Version:
        """Add a version, and remove deleted ones with the same id that nothing refers to."""
        number = max(self.subjects.get(subject, {}), default=0) + 1
        schema_id = self.ids.setdefault(schema.identity, max(self.ids.values(), default=0) + 1)
        version = Version(number, schema_id, schema)
        versions = self.subjects.setdefault(subject, {})
        for old in [each for each in versions.values() if each.deleted and each.id == schema_id]:
            if not list(self.find_users(subject, old.number, deleted=True)):
                del versions[old.number]
        versions[number] = version
        return version

    def find_users(self, subject: str, number: int, *, deleted: bool = False) -> Iterator[tuple[str, Version]]:
        """Yield the versions that refer to this one."""
        for name in self.subjects:
            for version in self.list_versions(name, deleted=deleted):
                if (subject, number) in [each[1:] for each in version.schema.references]:
                    yield name, version

    def check_users(self, subject: str, versions: Sequence[Version], *, permanent: bool, own: bool) -> None:
        """Raise Refusal where something refers to a version; `own`: also where its own subject does."""
        for version in versions:
            users = self.find_users(subject, version.number, deleted=permanent)
            if any(own or name != subject for name, _ in users):
                raise Refusal("referenced", subject=subject, version=version.number)

    def find_level(self, subject: str) -> str:
        return self.levels.get(subject, self.levels[""])

    def check_mode(self, subject: str, *, registers: bool = False) -> None:
        """Raise Refusal where the mode forbids a change."""
        mode = self.modes[""] if self.modes[""] == "READONLY_OVERRIDE" else self.modes.get(subject, self.modes[""])
        if mode in READ_ONLY:
            raise Refusal("read_only", subject=subject)
        if registers and mode != "READWRITE":
            raise Refusal("not_read_write", subject=subject)

    def forget(self, subject: str) -> None:
        """Remove the level and the mode of a subject without versions."""
        self.levels.pop(subject, None)
        self.modes.pop(subject, None)


def parse_version(text: str) -> int:
    """Return a version's number, -1 for `latest`. Raises Refusal."""
    if text in ("latest", "-1"):
        return -1
    if not text.isdigit() or not 1 <= int(text) < 2**31:
        raise Refusal("invalid_version", version=text)
    return int(text)
