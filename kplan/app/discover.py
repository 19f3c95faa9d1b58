"""Discover the tables of a declared connector's database: which it captures, and which it could."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from kplan.app.servers import tables_of
from kplan.diagnostics import Invalid, codes, error
from kplan.kinds.connector.debezium.discovery import databases, discovery, login
from kplan.kinds.connector.selection import find_connectors

if TYPE_CHECKING:
    from kplan.app.runtime import Runtime
    from kplan.kinds.connector.debezium.discovery import Discovery
    from kplan.model import Connector
    from kplan.project.loading import Loaded


def find_connector(loaded: Loaded, name: str) -> Connector:
    """Return the declared connector. Raises Invalid.

    A pattern whose topics are not named is an error anywhere else; here it is what somebody wants to write out.
    """
    wrong = [problem for problem in loaded.diagnostics if problem.is_error and problem.code != codes.K216.number]
    if wrong:
        raise Invalid(wrong)
    known = {connector.name: connector for connector in find_connectors(loaded.stacks)}
    if name in known:
        return known[name]
    close = get_close_matches(name, known, 1)
    hint = f"did you mean `{close[0]}`? " if close else ""
    there = f"there are {', '.join(sorted(known))}" if known else "there are none"
    raise Invalid(
        [error(codes.K321, "there is no such connector", f"the stacks declare no {name}", help=f"{hint}{there}")]
    )


def discover_tables(connector: Connector, host: str, password: str | None, runtime: Runtime) -> Discovery:
    """Read the tables, logged in as the connector is; `host` and `password` are used instead where they are given.

    Raises KplanError where the database does not answer.
    """
    credentials = login(connector, host, password)
    runtime.mask.add([credentials.password])
    return discovery(connector, credentials, tables_of(credentials, databases(connector)))
