"""Predicts which schemas connectors will register for their tables as they are now, and says what would be refused.

A connector fails when the registry refuses a schema, with the first row after a change of its table. So each plan
looks, whether a connector changes or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from kplan.diagnostics import Diagnostic, KplanError, Severity, Span, codes, error
from kplan.kinds.connector.debezium.discovery import login_from_here
from kplan.kinds.connector.debezium.engine import Login
from kplan.kinds.connector.debezium.prediction.parts import PredictedSchema, predict_parts
from kplan.kinds.connector.debezium.prediction.predict import find_dialect, writes_avro
from kplan.kinds.connector.debezium.prediction.structure import TableStructure
from kplan.kinds.connector.names import alias_of
from kplan.kinds.subject.compatibility import Incompatibility
from kplan.kinds.subject.proposals import Proposal, Ruling, judge_by_rules
from kplan.kinds.subject.subject import Subject, name_subject
from kplan.model import Address, Connector, Stack, Target
from kplan.planning.source_check import describe_failure
from kplan.servers.base import Backend, Cluster, JudgingBackend
from kplan.values import dataclass

SHOWN = 5  # phrases of one note
NEW_FIELD = "READER_FIELD_MISSING_DEFAULT_VALUE"


@dataclass(frozen=True, slots=True)
class KnownTables:
    """The structures of the tables that a connector reads; `unread` says of a table why it has none."""

    tables: Sequence[TableStructure]
    unread: Mapping[str, str]


def find_connectors(stacks: Sequence[Stack]) -> list[Connector]:
    """Return the declared connectors that register schemas for which there are rules."""
    declared = (each for stack in stacks for each in stack.resources.values())
    return [each for each in declared if isinstance(each, Connector) and writes_avro(each)]


def check_schemas(
    connectors: Sequence[Connector], stacks: Sequence[Stack], cluster: Cluster, target: Target
) -> list[Diagnostic]:
    """Return what the registry will refuse of the connectors' tables, and notes of what was not predicted."""
    backend = cluster.find(Address(Subject.kind, ""))
    if backend is None or not connectors:
        return []
    problems: list[Diagnostic] = []
    parts: list[PredictedSchema] = []
    gaps: dict[Address, list[str]] = {connector.address: [] for connector in connectors}
    for connector, known in _read_tables(connectors, cluster, target):
        own = gaps[connector.address]
        if isinstance(known, Diagnostic):
            problems.append(known)
        elif isinstance(known, str):
            own.append(known)
        else:
            try:
                for found in predict_parts(connector, known.tables, known.unread):
                    parts.append(found) if isinstance(found, PredictedSchema) else own.append(found)
            except KplanError as e:
                own.append(e.message)
    rulings = _judge(parts, stacks, backend, target)
    for part in parts:
        ruling = rulings.get(part.subject)
        if ruling is not None and ruling.text is None:
            gaps[part.connector.address].append(f"{part.subject} has a schema that is not Debezium's")
        elif ruling is not None:
            problems += [_explain(part, ruling.level, reason) for reason in ruling.reasons]
    return problems + [_note(connector, gaps[connector.address]) for connector in connectors if gaps[connector.address]]


def _judge(
    parts: Sequence[PredictedSchema], stacks: Sequence[Stack], backend: Backend, target: Target
) -> Mapping[str, Ruling]:
    """Return what the registry, or a snapshot of it, says of the schemas, by subject."""
    levels = {a.name: r.level for stack in stacks for a, r in stack.resources.items() if isinstance(r, Subject)}
    proposals = [Proposal(part.subject, part.make_text, levels.get(name_subject(part.subject))) for part in parts]
    if not proposals:
        return {}
    if not target.snapshot:
        return cast(JudgingBackend, backend).judge(proposals)
    live = backend.read([name_subject(part.subject) for part in parts]).resources
    return judge_by_rules(proposals, {a.name: each for a, each in live.items() if isinstance(each, Subject)})


# -- tables -----------------------------------------------------------------------------------------------------------
def _read_tables(
    connectors: Sequence[Connector], cluster: Cluster, target: Target
) -> Iterator[tuple[Connector, KnownTables | Diagnostic | str]]:
    """Yield the tables of each connector, or why they are not known; each database is read once."""
    logins: dict[Address, Login] = {}
    for connector in connectors:
        if connector.ddl[0]:
            yield connector, _read_file(connector)
        elif cluster.databases is None and target.simulated:
            continue  # it has no databases that anybody could read
        elif cluster.databases is None:
            yield connector, "no database is asked from here, and no file of DDL describes the tables"
        else:
            try:
                url, _ = target.find_connect(alias_of(connector.name))
                logins[connector.address] = login_from_here(connector, url)
            except KplanError as e:
                yield connector, describe_failure(e)
    answers = cluster.databases.read_structures(set(logins.values())) if cluster.databases and logins else {}
    for connector in connectors:
        login = logins.get(connector.address)
        if login is not None:
            found = answers[login]
            yield connector, describe_failure(found, login) if isinstance(found, KplanError) else KnownTables(found, {})


def _read_file(connector: Connector) -> KnownTables | Diagnostic:
    """Return the tables that the connector's file describes, or an error at the file."""
    from kplan.kinds.connector.debezium.prediction.ddl import read_ddl

    path, text = connector.ddl
    dialect, home = find_dialect(connector)
    try:
        ddl = read_ddl(text, dialect, home)
    except KplanError as e:
        return error(
            codes.K355, "a file of DDL cannot be read", f"{path}: {e.message}", help=e.help, span=Span(path, 1, 1),
            address=connector.address,
        )  # fmt: skip
    unread = {each.table: f"{path}:{each.line}:{each.column}, at `{each.words}`" for each in reversed(ddl.unread)}
    return KnownTables(ddl.tables, unread)


# -- how it is said ---------------------------------------------------------------------------------------------------
def _explain(part: PredictedSchema, level: str, reason: Incompatibility | str) -> Diagnostic:
    """Return the error for one reason, at the line of the table in the stack."""
    message, field, rule = (reason, "", "") if isinstance(reason, str) else (reason.message, reason.field, reason.rule)
    column = part.find_column(field)
    where = f"{part.table}, column {column}" if column else part.table
    message = message.replace(f"field `{field}`", f"`{column}`") if column else message
    help = (
        f"undo the change of the table, or set a level of {part.subject} that allows it, once its consumers are ready"
    )
    if rule == NEW_FIELD and column:
        help = f"give `{column}` a default in the database, or let it be NULL; or set a level of {part.subject}"
        help += " that allows it"
    origin = part.connector.origin
    return error(
        codes.K353,
        "a change of a table breaks its schema",
        f"{where}: {part.connector.name} would stop, {level} refuses the next schema of {part.subject}: {message}",
        help=help,
        span=origin.at(f"/tables/{part.table}") or origin.span,
        address=part.connector.address,
    )


def _note(connector: Connector, gaps: Sequence[str]) -> Diagnostic:
    """Return the note of what was not predicted."""
    more = f"; and {len(gaps) - SHOWN} more" if len(gaps) > SHOWN else ""
    return Diagnostic(
        codes.K354.number,
        Severity.NOTE,
        "schemas that were not predicted",
        f"{connector.name}: {'; '.join(gaps[:SHOWN])}{more}",
        "the registry checks them when the connector registers them; `kplan explain K354`",
        connector.origin.span,
        str(connector.address),
    )
