"""A schema registry simulated in the file of a simulated cluster: ids, versions, levels, and Avro's own rules.

It answers as Confluent's registry does. Schemas in JSON and protobuf are accepted, and not judged.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from kplan.diagnostics import KplanError, Rejected, Timeout, codes
from kplan.kinds.subject.compatibility import check_compatibility
from kplan.kinds.subject.schemas import SchemaProblem, check_schema, fingerprint
from kplan.kinds.subject.subject import NONE, Reference, is_transitive
from kplan.model import Address, Change
from kplan.servers.base import Outcome, Progress
from kplan.servers.registry.api import NotCompatible, NotFound, RegisteredSchema, Verdict
from kplan.servers.registry.subjects import RegistrySubjects
from kplan.servers.simulated import SimulatedFile
from kplan.servers.topics import NOT_IN_TIME

GLOBAL_LEVEL: Final = "BACKWARD"  # of a new registry of Confluent's
EVERYTHING: Final = ""  # the name under which the level of the whole registry is kept


class SimulatedRegistry:
    """A registry; each method does what the REST API of Confluent's does."""

    keeps_none = True
    retries = 0

    def __init__(self, path: Path | str) -> None:
        self.file = SimulatedFile(path)

    def list_subjects(self) -> Sequence[str]:
        rows = self.file.read("SELECT DISTINCT subject FROM sim_versions WHERE deleted = 0 ORDER BY subject")
        return [str(row[0]) for row in rows]

    def list_versions(self, subject: str, *, deleted: bool = False) -> Sequence[int]:
        query = "SELECT version FROM sim_versions WHERE subject = ? AND deleted <= ? ORDER BY version"
        rows = self.file.read(query, subject, int(deleted))
        return [int(row[0]) for row in rows]

    def read_version(self, subject: str, version: int | None = None) -> RegisteredSchema | None:
        numbers = self.list_versions(subject)
        number = version if version is not None else max(numbers, default=0)
        if number not in numbers:
            return None
        rows = self.file.read("SELECT id FROM sim_versions WHERE subject = ? AND version = ?", subject, number)
        return self._read(int(rows[0][0]), number)

    def read_schema(self, schema_id: int) -> RegisteredSchema:
        return self._read(schema_id, 0)

    def _read(self, schema_id: int, version: int) -> RegisteredSchema:
        rows = self.file.read("SELECT type, text, refs FROM sim_schemas WHERE id = ?", schema_id)
        if not rows:
            raise NotFound(f"simulated: there is no schema with id {schema_id}")
        kind, text, references = rows[0]
        return RegisteredSchema(kind, text, _read_references(references), version, schema_id)

    def find(self, subject: str, schema: RegisteredSchema) -> RegisteredSchema | None:
        wanted = _identify(self._with_versions(schema))
        for number in reversed(self.list_versions(subject)):
            found = self.read_version(subject, number)
            if found is not None and _identify(found) == wanted:
                return found
        return None

    def check(self, subject: str, schema: RegisteredSchema, *, all_versions: bool) -> Verdict:
        level = self.read_level(subject) or self.read_global_level()
        numbers = self.list_versions(subject)
        judged = numbers if all_versions else numbers[-1:]
        versions = [found for number in judged if (found := self.read_version(subject, number)) is not None]
        if level == NONE or not versions or schema.schema_type != "avro":
            return Verdict(True)
        if any(found.schema_type != schema.schema_type for found in versions):
            return Verdict(False, (f"the type changes from {versions[-1].schema_type} to {schema.schema_type}",))
        texts = [found.text for found in versions]
        reasons = check_compatibility(level, schema.schema_type, schema.text, texts, self._read_references(schema))
        return Verdict(not reasons)

    def register(self, subject: str, schema: RegisteredSchema) -> int:
        if (found := self.find(subject, schema)) is not None:
            return found.id
        schema = self._with_versions(schema)
        try:
            names = [reference.name for reference in schema.references]
            check_schema(schema.schema_type, schema.text, names, self._read_references(schema))
        except SchemaProblem as e:
            raise Rejected(f"simulated: invalid schema: {e}", code=codes.K345) from e
        level = self.read_level(subject) or self.read_global_level()
        if not self.check(subject, schema, all_versions=is_transitive(level)).is_compatible:
            raise NotCompatible(f"simulated: schema being registered is incompatible with an earlier one ({level})")
        with self.file.write() as db:
            schema_id = _store(db, schema)
            last = db.execute("SELECT max(version) FROM sim_versions WHERE subject = ?", (subject,)).fetchone()[0]
            db.execute("INSERT INTO sim_versions VALUES (?, ?, ?, 0)", (subject, int(last or 0) + 1, schema_id))
        return schema_id

    def delete_version(self, subject: str, version: int) -> None:
        self._refuse_if_referenced(subject, [version])
        with self.file.write() as db:
            db.execute("UPDATE sim_versions SET deleted = 1 WHERE subject = ? AND version = ?", (subject, version))

    def delete_subject(self, subject: str, *, permanent: bool = False) -> None:
        self._refuse_if_referenced(subject, self.list_versions(subject))
        with self.file.write() as db:
            db.execute("UPDATE sim_versions SET deleted = 1 WHERE subject = ?", (subject,))
            db.execute("DELETE FROM sim_levels WHERE subject = ?", (subject,))
            if permanent:
                db.execute("DELETE FROM sim_versions WHERE subject = ?", (subject,))
                db.execute("DELETE FROM sim_schemas WHERE id NOT IN (SELECT id FROM sim_versions)")

    def _refuse_if_referenced(self, subject: str, versions: Collection[int]) -> None:
        rows = self.file.read(
            "SELECT v.subject, s.refs FROM sim_versions v JOIN sim_schemas s ON s.id = v.id WHERE v.deleted = 0"
        )
        for user, references in rows:
            if any(each.subject == subject and each.version in versions for each in _read_references(references)):
                help = "delete what refers to it first"
                raise Rejected(f"simulated: {user} refers to {subject}", code=codes.K347, help=help)

    def read_level(self, subject: str) -> str | None:
        rows = self.file.read("SELECT level FROM sim_levels WHERE subject = ?", subject)
        return str(rows[0][0]) if rows else None

    def read_global_level(self) -> str:
        return self.read_level(EVERYTHING) or GLOBAL_LEVEL

    def set_level(self, subject: str, level: str) -> None:
        with self.file.write() as db:
            db.execute("INSERT OR REPLACE INTO sim_levels VALUES (?, ?)", (subject, level))

    def delete_level(self, subject: str) -> None:
        with self.file.write() as db:
            db.execute("DELETE FROM sim_levels WHERE subject = ?", (subject,))

    def read_mode(self, subject: str) -> str:
        return "READWRITE"

    def close(self) -> None:
        self.file.close()

    def _with_versions(self, schema: RegisteredSchema) -> RegisteredSchema:
        """Return the schema with the latest version where a reference gives none. Raises Rejected where none is."""
        references = []
        for reference in schema.references:
            found = self.read_version(reference.subject, reference.version)
            if found is None:
                raise Rejected(f"simulated: there is no {reference.subject} {reference.version or ''}", code=codes.K345)
            references.append(Reference(reference.name, reference.subject, found.version))
        return RegisteredSchema(schema.schema_type, schema.text, tuple(references))

    def _read_references(self, schema: RegisteredSchema) -> list[str]:
        """Return the texts of what a schema refers to, and of what those refer to, which comes first."""
        texts: list[str] = []
        for reference in schema.references:
            found = self.read_version(reference.subject, reference.version)
            if found is not None:
                texts += [*self._read_references(found), found.text]
        return list(dict.fromkeys(texts))


class SimulatedSubjects(RegistrySubjects):
    """The subjects of a simulated registry. Addresses in `fail` are accepted, and then do not become visible."""

    def __init__(self, path: Path | str, *, fail: Sequence[str] = ()) -> None:
        super().__init__(SimulatedRegistry(path), settle_timeout=0, parallel=1)
        self.fail = frozenset(fail)

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Return at once; what is to fail was accepted and does not become visible."""
        help = "`simulated: {fail: […]}` in kplan.yaml asks for this failure"
        failure: KplanError = Timeout(f"simulated: {NOT_IN_TIME}", help=help)
        failing = {change.address for change in changes if str(change.address) in self.fail and change.reason != "undo"}
        return {
            change.address: Outcome(failure, accepted=True) if change.address in failing else Outcome()
            for change in changes
        }


def _identify(schema: RegisteredSchema) -> tuple[str, tuple[Reference, ...]]:
    return fingerprint(schema.schema_type, schema.text), schema.references


def _store(db: sqlite3.Connection, schema: RegisteredSchema) -> int:
    """Return the id of the schema: the same for the same schema, in whatever subject it is."""
    digest = fingerprint(schema.schema_type, schema.text)
    references = json.dumps([[each.name, each.subject, each.version] for each in schema.references])
    rows = db.execute("SELECT id FROM sim_schemas WHERE digest = ? AND refs = ?", (digest, references)).fetchall()
    if rows:
        return int(rows[0][0])
    columns = (schema.schema_type, schema.text, references, digest)
    return int(
        db.execute("INSERT INTO sim_schemas (type, text, refs, digest) VALUES (?, ?, ?, ?)", columns).lastrowid or 0
    )


def _read_references(text: str) -> tuple[Reference, ...]:
    return tuple(Reference(name, subject, version) for name, subject, version in json.loads(text))
