"""Bindings, users, quotas and subjects of other tools' files, in the words of any of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from kplan.diagnostics import Span
from kplan.importers.reading import file_error
from kplan.importers.resources import ImportedResources
from kplan.kinds.acl.binding import make_binding
from kplan.kinds.acl.operations import ANY_HOST, ANY_NAME, PatternType, ResourceType, list_operations
from kplan.kinds.parts import encode_part
from kplan.kinds.quota.quota import CLIENT_KEYS, ENTITY_TYPES, IP_KEYS, Quota, name_entity
from kplan.kinds.subject.schemas import fingerprint
from kplan.kinds.subject.subject import Subject, name_subject
from kplan.kinds.user.user import MECHANISMS, ScramUser

USUAL_ITERATIONS: Final = 4096  # of kafka-configs.sh, and of the other tools
LETTERS: Final = re.compile(r"[^a-z]")
RESOURCE_TYPES: Final[Mapping[str, ResourceType]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "consumergroup": ResourceType.GROUP,
    "transactionalid": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.CLUSTER,
}
PATTERNS: Final[Mapping[str, PatternType]] = {
    "": PatternType.LITERAL,
    "literal": PatternType.LITERAL,
    "prefixed": PatternType.PREFIXED,
    "prefix": PatternType.PREFIXED,
}
ENTITIES: Final[Mapping[str, str]] = {"user": "user", "clientid": "client-id", "ip": "ip"}
SCHEMA_TYPES: Final = ("avro", "json", "protobuf")


def _fold(word: Any) -> str:
    """Return the letters that tools have in common: of `TRANSACTIONAL_ID`, `TransactionalId`."""
    return LETTERS.sub("", str(word).lower())


OPERATIONS: Final[Mapping[str, str]] = {_fold(operation): operation for operation in list_operations()}


def add_binding(
    imported: ImportedResources,
    span: Span,
    principal: str,
    operation: Any,
    resource_type: Any,
    resource_name: Any,
    *,
    permission: Any = "allow",
    pattern: Any = "literal",
    host: Any = ANY_HOST,
) -> None:
    """Add one binding. What no stack can declare is noted. Raises Invalid for an unknown word."""
    what = f"binding of {principal} for {resource_type} {resource_name}"
    kind, known_operation = RESOURCE_TYPES.get(_fold(resource_type)), OPERATIONS.get(_fold(operation))
    known_pattern, word = PATTERNS.get(_fold(pattern or "")), _fold(permission)
    if _fold(resource_type) in ("delegationtoken", "user"):
        imported.note(f"{what} is left out: a stack has no bindings of this type", span)
        return
    if kind is None or known_operation is None or known_pattern is None or word not in ("allow", "deny"):
        words = ((resource_type, kind), (operation, known_operation), (pattern, known_pattern))
        unknown = next((text for text, known in words if known is None), permission)
        raise file_error(f"{what}: {unknown!r} is not a word of Kafka's bindings", span)
    name = str(resource_name or ANY_NAME)
    binding = make_binding(str(principal), word, known_operation, kind, name, known_pattern, str(host or ANY_HOST))
    if binding.name in imported.bindings:
        return  # tools write one binding twice where two of their rules ask for it
    imported.add(binding, span)


def add_quota(imported: ImportedResources, span: Span, entity: Mapping[Any, Any], values: Mapping[str, Any]) -> None:
    """Add the quota of an entity, such as `{"user": "alice"}`; None, an empty name and `<default>` are the default."""
    named: dict[str, str | None] = {}
    for word, name in entity.items():
        kind = ENTITIES.get(_fold(word))
        if kind is None:
            raise file_error(f"{word!r} is not an entity of quotas: {', '.join(ENTITY_TYPES)}", span)
        named[kind] = None if name in (None, "", "<default>") else str(name)
    known: dict[str, float] = {}
    for key, value in values.items():
        if key not in (*CLIENT_KEYS, *IP_KEYS):
            imported.note(f"quota {name_entity(named)}: {key} is not carried over", span)
            continue
        try:
            known[key] = float(value)
        except (TypeError, ValueError):
            raise file_error(f"quota {name_entity(named)}: {key} is not a number: {value!r}", span) from None
    if known:
        imported.add(Quota(name_entity(named), known), span)


def add_user(imported: ImportedResources, span: Span, name: str, mechanism: Any, iterations: Any = None) -> None:
    """Add a mechanism of a SCRAM user; no password is carried over: it becomes a variable."""
    known = next((each for each in MECHANISMS if _fold_mechanism(each) == _fold_mechanism(mechanism)), None)
    if known is None:
        raise file_error(f"user {name}: {mechanism!r} is not a mechanism: {', '.join(MECHANISMS)}", span)
    number = int(iterations) if str(iterations).isdigit() and int(iterations) else USUAL_ITERATIONS
    present = imported.users.get(encode_part(name))
    mechanisms = {**(present.mechanisms if present else {}), known: number}
    imported.users[encode_part(name)] = ScramUser(encode_part(name), mechanisms)


def _fold_mechanism(word: Any) -> str:
    return re.sub(r"[^A-Z0-9]", "", str(word).upper())


def add_subject(
    imported: ImportedResources, span: Span, name: str, text: Any = "", schema_type: Any = "avro", level: Any = None
) -> None:
    """Add a subject with its schema, its level or both. Raises Invalid for an unknown type."""
    kind = str(schema_type or "avro").lower()
    if kind not in SCHEMA_TYPES:
        raise file_error(f"subject {name}: {schema_type!r} is not a type: {', '.join(SCHEMA_TYPES)}", span)
    content = str(text or "")
    own_level = str(level).upper() if level else None
    if not content and own_level is None:
        imported.note(f"subject {name} is left out: it has neither a schema nor a level", span)
        return
    subject = Subject(name_subject(name), kind if content else "", fingerprint(kind, content) if content else "",
                      level=own_level, text=content)  # fmt: skip
    imported.add(subject, span)
