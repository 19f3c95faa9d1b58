"""Jikkou's bindings with their roles, quotas, users and subjects.

Source: Jikkou's reference of `KafkaPrincipalAuthorization`, `KafkaPrincipalRole`, `KafkaClientQuota`, `KafkaUser` and
`SchemaRegistrySubject`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kplan.diagnostics import Span
from kplan.importers.grants import add_binding, add_quota, add_subject, add_user
from kplan.importers.reading import Path, file_error, note_unread_keys, read_list, read_map, read_name
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document
from kplan.values import dataclass

AUTHORIZATION: Final = "KafkaPrincipalAuthorization"
ROLE: Final = "KafkaPrincipalRole"
QUOTAS: Final[Mapping[str, str]] = {
    "requestPercentage": "request_percentage",
    "producerByteRate": "producer_byte_rate",
    "consumerByteRate": "consumer_byte_rate",
}
ENTITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "USERS_DEFAULT": ("user=",),
    "USER": ("user",),
    "USER_CLIENT": ("user", "clientId"),
    "USER_ALL_CLIENTS": ("user", "clientId="),
    "CLIENT": ("clientId",),
    "CLIENTS_DEFAULT": ("clientId=",),
}  # keys of the entity by the quota's type; with `=` behind the default


@dataclass(frozen=True, slots=True)
class JikkouResource:
    """One resource of a file: where it is, and its parts."""

    document: Document
    path: Path
    data: Mapping[str, Any]

    @property
    def spec_path(self) -> Path:
        return (*self.path, "spec")

    @property
    def span(self) -> Span:
        return self.document.key_at(*self.path, "metadata")

    def read_spec(self) -> dict[str, Any]:
        """Return the specification; a resource without one says nothing."""
        return read_map(self.document, self.spec_path, self.data.get("spec"))

    def read_name(self) -> str:
        """Return the resource's name. Raises Invalid without one."""
        metadata = read_map(self.document, (*self.path, "metadata"), self.data.get("metadata"), required=True)
        return read_name(self.document, (*self.path, "metadata", "name"), metadata.get("name"))


Roles = Mapping[str, JikkouResource]


def parse_authorization(resource: JikkouResource, roles: Roles, imported: ImportedResources) -> None:
    """Add the bindings of a principal: its own, and those of its roles. Raises Invalid."""
    spec, principal = resource.read_spec(), resource.read_name()
    _add_bindings(resource, principal, imported)
    for i, name in enumerate(read_list(resource.document, (*resource.spec_path, "roles"), spec.get("roles"))):
        if str(name) not in roles:
            place = resource.document.at(*resource.spec_path, "roles", i)
            raise file_error(f"{principal}: there is no {ROLE} {name!r} in the files", place)
        _add_bindings(roles[str(name)], principal, imported)
    _note_unread(resource, ("acls", "roles"), imported)


def _note_unread(resource: JikkouResource, known: tuple[str, ...], imported: ImportedResources) -> None:
    """Note what of the specification is not read, or that there is none."""
    if resource.data.get("spec"):
        note_unread_keys(imported, resource.document, resource.spec_path, known)
    else:
        place = resource.document.at(*resource.path, "kind")
        name = (resource.data.get("metadata") or {}).get("name", "")
        imported.note(f"{resource.data.get('kind')} {name}".strip() + " is left out: it has no `spec`", place)


def _add_bindings(resource: JikkouResource, principal: str, imported: ImportedResources) -> None:
    document, path = resource.document, (*resource.spec_path, "acls")
    for i, entry in enumerate(read_list(document, path, resource.read_spec().get("acls"))):
        rule = read_map(document, (*path, i), entry, required=True)
        target = read_map(document, (*path, i, "resource"), rule.get("resource"), required=True)
        span = document.at(*path, i)
        name, pattern = str(target.get("pattern") or "*"), str(target.get("patternType") or "LITERAL")
        if pattern.upper() == "MATCH" or (len(name) > 1 and name.startswith("/") and name.endswith("/")):
            imported.note(f"binding of {principal} for {name} is left out: Kafka has no regular expressions", span)
            continue
        for operation in read_list(document, (*path, i, "operations"), rule.get("operations")):
            permission, host = rule.get("type") or "ALLOW", rule.get("host") or "*"
            kind = target.get("type")
            add_binding(
                imported, span, principal, operation, kind, name, permission=permission, pattern=pattern, host=host
            )
        note_unread_keys(imported, document, (*path, i), ("resource", "type", "operations", "host"))


def parse_quota(resource: JikkouResource, roles: Roles, imported: ImportedResources) -> None:
    """Add the quota of an entity. Raises Invalid for an unknown type."""
    spec, document = resource.read_spec(), resource.document
    kind = str(spec.get("type") or "")
    if kind not in ENTITIES:
        raise file_error(f"quota: {kind!r} is none of {', '.join(ENTITIES)}", document.at(*resource.spec_path, "type"))
    entity = read_map(document, (*resource.spec_path, "entity"), spec.get("entity"))
    named = {key.rstrip("="): None if key.endswith("=") else entity.get(key) for key in ENTITIES[kind]}
    values = read_map(document, (*resource.spec_path, "configs"), spec.get("configs"))
    span = document.at(*resource.spec_path)
    add_quota(imported, span, named, {QUOTAS.get(str(key), str(key)): value for key, value in values.items()})
    _note_unread(resource, ("type", "entity", "configs"), imported)


def parse_user(resource: JikkouResource, roles: Roles, imported: ImportedResources) -> None:
    """Add the mechanisms of a user; no password is carried over. Raises Invalid."""
    spec, name, path = resource.read_spec(), resource.read_name(), (*resource.spec_path, "authentications")
    for i, entry in enumerate(read_list(resource.document, path, spec.get("authentications"))):
        login = read_map(resource.document, (*path, i), entry, required=True)
        iterations = login.get("iterations")
        add_user(imported, resource.document.at(*path, i), name, login.get("type"), iterations)
        note_unread_keys(imported, resource.document, (*path, i), ("type", "password", "iterations"))
    _note_unread(resource, ("authentications",), imported)


def parse_subject(resource: JikkouResource, roles: Roles, imported: ImportedResources) -> None:
    """Add a subject with its schema and level. Raises Invalid for an unknown type."""
    spec, name, document = resource.read_spec(), resource.read_name(), resource.document
    schema, place = spec.get("schema"), document.at(*resource.spec_path, "schema")
    if spec.get("references"):
        imported.note(f"subject {name} is left out: it has references, whose versions only a registry knows", place)
        return
    if not isinstance(schema, str | None):
        file = schema.get("$ref", "") if isinstance(schema, Mapping) else ""
        imported.note(f"subject {name}: the schema in {file} is not carried over: name it with `file:`", place)
        schema = None
    add_subject(imported, resource.span, name, schema or "", spec.get("schemaType"), spec.get("compatibilityLevel"))
    _note_unread(resource, ("schema", "schemaType", "compatibilityLevel", "schemaRegistry", "references"), imported)


PARSERS: Final[Mapping[str, Callable[[JikkouResource, Roles, ImportedResources], None]]] = {
    AUTHORIZATION: parse_authorization,
    "KafkaClientQuota": parse_quota,
    "KafkaUser": parse_user,
    "User": parse_user,
    "SchemaRegistrySubject": parse_subject,
}
