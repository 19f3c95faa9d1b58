"""Drops what a deleted connector leaves in its database."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kplan.diagnostics import Busy, KplanError, codes
from kplan.kinds.connector.debezium.discovery import login_from_here
from kplan.kinds.connector.debezium.drops import statements
from kplan.kinds.connector.options import drops_of
from kplan.model import Change, Connector
from kplan.servers.databases.base import Databases
from kplan.values import dataclass

log = logging.getLogger("kplan.servers.connect")  # one name for all work with Connect


@dataclass(frozen=True, slots=True)
class Drops:
    """`until` repeats a test for as long as a change may settle: a task that has ended keeps its slot for a while."""

    databases: Databases | None
    connect_url: str
    until: Callable[[Callable[[], bool]], bool]

    def refuse_unreachable(self, change: Change) -> None:
        """Raise KplanError where the database cannot be asked, before the connector is deleted."""
        if self.databases is not None and isinstance(change.before, Connector):
            try:
                self.databases.find_existing(login_from_here(change.before, self.connect_url), drops_of(change))
            except KplanError as failure:
                raise _drop_failure(change, failure, "nothing of it was deleted", applied=False) from failure

    def drop(self, change: Change) -> str:
        """Drop everything that is to be dropped; return a note. Raises KplanError with the SQL."""
        if self.databases is None or not isinstance(change.before, Connector):
            return ""
        busy: list[Busy] = []
        try:
            if not self.until(self._make_attempt(change, change.before, busy)):
                raise busy[-1]
        except KplanError as failure:
            applied = None if failure.applied is None else True
            raise _drop_failure(change, failure, "the connector is deleted", applied=applied) from failure
        log.info("%s: dropped %s", change.address, _join_drops(change))
        return f"{_join_drops(change)} dropped"

    def _make_attempt(self, change: Change, connector: Connector, busy: list[Busy]) -> Callable[[], bool]:
        """Return a function that tries once: true when it is done; it adds to `busy` who holds the slot."""
        databases, login = self.databases, login_from_here(connector, self.connect_url)
        assert databases is not None, "there is something to drop in it"

        def try_to_drop() -> bool:
            try:
                databases.drop(login, drops_of(change))
            except Busy as e:
                busy.append(e)
                return False
            return True

        return try_to_drop

    def describe_missing(self, change: Change) -> str:
        """Return why a deleted connector must not be recreated; empty where everything it had still exists."""
        if self.databases is None or not isinstance(change.after, Connector):
            return ""
        try:
            existing = self.databases.find_existing(login_from_here(change.after, self.connect_url), drops_of(change))
        except KplanError as failure:
            return f"whether {_join_drops(change)} are still there is not known: {failure.message}"
        missing = [each for each in drops_of(change) if each not in existing]
        return f"{' and '.join(missing)} dropped: made again it would miss what happened since" if missing else ""


def _drop_failure(change: Change, failure: KplanError, consequence: str, applied: bool | None) -> KplanError:
    problem = KplanError(
        f"{_join_drops(change)} of {change.address} could not be dropped, and {consequence}: {failure.message}",
        code=codes.K517,
        help=f"run this in its database, and leave `drop` out: {statements(drops_of(change))}",
    )
    problem.applied = applied
    return problem


def _join_drops(change: Change) -> str:
    return " and ".join(drops_of(change))
