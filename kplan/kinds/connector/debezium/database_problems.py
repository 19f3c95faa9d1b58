"""Problems of a connector with its database, each at the place where the stack says it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from kplan.diagnostics import Diagnostic, Severity, Span
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector.debezium.engine import DatabaseQuestion
from kplan.model import Connector

MAX_PROBLEMS = 20  # problems of one kind that are told one by one


def database_error(question: DatabaseQuestion, code: Code, detail: str, help: str, span: Span | None) -> Diagnostic:
    """Make an error at `span`, at the connector where that is unknown."""
    connector = question.connector
    place, address = span or connector.origin.span, str(connector.address)
    return Diagnostic(code.number, Severity.ERROR, code.title, detail, help, place, address)


def database_warning(question: DatabaseQuestion, code: Code, detail: str, help: str, span: Span | None) -> Diagnostic:
    """Make a warning at `span`, at the connector where that is unknown."""
    return replace(database_error(question, code, detail, help, span), severity=Severity.WARNING)


def report_each(names: Collection[str], make_problem: Callable[[str], Diagnostic]) -> Iterator[Diagnostic]:
    """Yield one problem for each name; of very many the last one says how many more there are."""
    for number, name in enumerate(list(names)[:MAX_PROBLEMS], 1):
        problem = make_problem(name)
        more = len(names) - MAX_PROBLEMS
        is_last = number == MAX_PROBLEMS and more > 0
        yield replace(problem, detail=f"{problem.detail}; and {more} more like it") if is_last else problem


def place_of_table(question: DatabaseQuestion, table: str) -> Span | None:
    """Return where the stack names the table; the signals' where that is the one."""
    connector = question.connector
    return connector.origin.at(
        "/config/signal.data.collection" if table in signal_tables(connector) else f"/tables/{table}"
    )


def signal_tables(connector: Connector) -> list[str]:
    """Return the tables to which signals are written."""
    value = connector.config.get("signal.data.collection")
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else []
