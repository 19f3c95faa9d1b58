"""What kplan asks a database."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kplan.diagnostics import Denied, KplanError, Unreachable, codes
from kplan.kinds.connector.debezium.discovery import Table
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, DatabaseState, Login
from kplan.kinds.connector.debezium.readiness import K

SECONDS = 10
LOOK_SECONDS = 3  # for a connection while a plan is made: a database that is out of reach from here is no news
PATIENCE = 15  # seconds that a plan waits for all looks together


class Driver(Protocol):
    """A module that reads the databases of an engine."""

    def tables(self, login: Login, schemas: Sequence[str]) -> list[Table]:
        """The tables that a login sees, without those of the database itself. Raises KplanError."""

    def look(self, ask: DatabaseQuestion) -> DatabaseState:
        """What the database of a connector is like. Raises KplanError."""


class DroppingDriver(Driver, Protocol):
    """A driver of an engine that keeps something for a connector."""

    def there(self, login: Login, drops: Sequence[str]) -> list[str]:
        """Which of `slot NAME` and `publication NAME` the database has. Raises KplanError."""

    def drop(self, login: Login, drops: Sequence[str]) -> None:
        """None of them is there any more; all go, or none. Raises Busy while a slot is in use, or KplanError."""


class Databases(Protocol):
    """The databases that connectors read."""

    def look(self, asks: Mapping[K, DatabaseQuestion]) -> Mapping[K, DatabaseState | KplanError]:
        """What each connector's database says, or why it could not be asked; all of them at once, in bounded time."""

    def there(self, login: Login, drops: Sequence[str]) -> list[str]:
        """Which of `slot NAME` and `publication NAME` the database has. Raises KplanError."""

    def drop(self, login: Login, drops: Sequence[str]) -> None:
        """None of them is there any more; all go, or none. Raises Busy while a slot is in use, or KplanError."""


def driver(module: str, login: Login) -> Any:
    """The client library. Raises KplanError where it is not installed."""
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


def denied(login: Login, said: str) -> Denied:
    """User, password or a right is wrong."""
    return Denied(
        f"{login.engine.title} at {login.host}:{login.port} does not let {login.user} in: {said}",
        help="check user and password: they are those that the connector logs in with",
    )


def unreachable(login: Login, said: str) -> Unreachable:
    """Nobody answers there, as far as this machine can tell."""
    return Unreachable(
        f"{login.engine.title} at {login.host}:{login.port} does not answer: {said}",
        help="the stack has the address that the Connect worker sees; --host HOST:PORT says where it is from here",
    )


def no_database(login: Login, name: str) -> KplanError:
    """The server is there, and has no such database."""
    return KplanError(
        f"{login.engine.title} at {login.host}:{login.port} has no database {name}",
        code=codes.K319,
        help="correct `database: {name: …}` in the stack, or create it",
    )


def failed(login: Login, said: str) -> KplanError:
    """The database answers, and not with what was asked for."""
    return KplanError(
        f"{login.words} cannot be read: {said}", code=codes.K320, help="the user reads the system catalog"
    )


def one_line(error: BaseException, secret: str) -> str:
    """What a driver says, without the password."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.replace(secret, "(sensitive)") if secret else text
