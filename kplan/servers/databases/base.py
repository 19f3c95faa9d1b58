"""What kplan asks a database."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kplan.diagnostics import Denied, KplanError, Unreachable, codes

if TYPE_CHECKING:
    from kplan.kinds.connector.debezium.discovery import DiscoveredTable
    from kplan.kinds.connector.debezium.engine import DatabaseQuestion, DatabaseState, Login
    from kplan.kinds.connector.debezium.prediction.structure import TableStructure
    from kplan.kinds.connector.debezium.readiness import K

CONNECT_TIMEOUT_S = 10
PLAN_CONNECT_TIMEOUT_S = 3  # for a connection while a plan is made: a database may be unreachable from here
PLAN_TIMEOUT_S = 15  # that a plan waits for all databases together


class Driver(Protocol):
    """A module that reads the databases of an engine."""

    def read_tables(self, login: Login, schemas: Sequence[str]) -> list[DiscoveredTable]:
        """Read the tables that a login sees, without those of the database itself. Raises KplanError."""

    def read_state(self, question: DatabaseQuestion) -> DatabaseState:
        """Read the state of a connector's database. Raises KplanError."""

    def read_structures(self, login: Login) -> list[TableStructure]:
        """Read the columns of all tables that a login sees. Raises KplanError."""


class DroppingDriver(Driver, Protocol):
    """A driver of an engine that keeps something for a connector."""

    def find_existing(self, login: Login, drops: Sequence[str]) -> list[str]:
        """Return which of `slot NAME` and `publication NAME` the database has. Raises KplanError."""

    def drop(self, login: Login, drops: Sequence[str]) -> None:
        """Drop all of them, or none. Raises Busy while a slot is in use, or KplanError."""


class Databases(Protocol):
    """The databases that connectors read."""

    def read_states(self, questions: Mapping[K, DatabaseQuestion]) -> Mapping[K, DatabaseState | KplanError]:
        """Read the state of each connector's database, or why it failed; all at once, in bounded time."""

    def read_structures(self, logins: Collection[Login]) -> Mapping[Login, Sequence[TableStructure] | KplanError]:
        """Read the columns of the tables in each database, or why it failed; all at once, in bounded time."""

    def find_existing(self, login: Login, drops: Sequence[str]) -> list[str]:
        """Return which of `slot NAME` and `publication NAME` the database has. Raises KplanError."""

    def drop(self, login: Login, drops: Sequence[str]) -> None:
        """Drop all of them, or none. Raises Busy while a slot is in use, or KplanError."""


def import_driver(module: str, login: Login) -> Any:
    """Import the client library. Raises KplanError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        access = login.engine.access
        assert access is not None, "a login is made only for what can be looked into"
        raise KplanError(
            f"{login.engine.title} needs the Python package {module}",
            code=codes.K318,
            help=f"pip install 'kplan[{access.extra}]'",
        ) from e


def login_error(login: Login, reason: str) -> Denied:
    """Return the error of a wrong user, password or right."""
    return Denied(
        f"{login.engine.title} at {login.host}:{login.port} does not let {login.user} in: {reason}",
        help="check user and password: they are those that the connector logs in with",
    )


def unreachable_error(login: Login, reason: str) -> Unreachable:
    """Return the error where nothing answers, as far as this machine can see."""
    return Unreachable(
        f"{login.engine.title} at {login.host}:{login.port} does not answer: {reason}",
        help="the stack has the address that the Connect worker sees; --host HOST:PORT says where it is from here",
    )


def missing_database_error(login: Login, name: str) -> KplanError:
    """Return the error of a server that has no such database."""
    return KplanError(
        f"{login.engine.title} at {login.host}:{login.port} has no database {name}",
        code=codes.K319,
        help="correct `database: {name: …}` in the stack, or create it",
    )


def read_error(login: Login, reason: str) -> KplanError:
    """Return the error of a database that answers, but does not return what was requested."""
    return KplanError(
        f"{login.words} cannot be read: {reason}", code=codes.K320, help="the user reads the system catalog"
    )


def to_one_line(error: BaseException, secret: str) -> str:
    """Return a driver's message in one line, without the password."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(secret, "(sensitive)") if secret else text
