"""Drops in the database what outlives a connector, once the connector is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from kplan.diagnostics import Busy, KplanError, codes
from kplan.kinds.connector.debezium.discovery import login_from_here
from kplan.kinds.connector.debezium.drops import statements
from kplan.kinds.connector.options import drops_of
from kplan.model import Change, Connector
from kplan.servers.databases.base import Databases

log = logging.getLogger("kplan.servers.connect")  # one name for all that is done with Connect


@dataclass(frozen=True, slots=True)
class Drops:
    """`until` repeats a test for as long as a change may settle: a task that has ended holds its slot for a while."""

    databases: Databases | None
    connect_url: str
    until: Callable[[Callable[[], bool]], bool]

    def refuse(self, change: Change) -> None:
        """Raises KplanError where the database cannot be asked: better before the connector is deleted than after."""
        if self.databases is not None and isinstance(change.before, Connector):
            try:
                self.databases.there(login_from_here(change.before, self.connect_url), drops_of(change))
            except KplanError as failure:
                raise _failed(change, failure, "nothing of it was deleted", applied=False) from failure

    def run(self, change: Change) -> str:
        """None of what is to be dropped is there; answers what there is to say. Raises KplanError with the SQL."""
        if self.databases is None or not isinstance(change.before, Connector):
            return ""
        busy: list[Busy] = []
        try:
            if not self.until(self._attempt(change, change.before, busy)):
                raise busy[-1]
        except KplanError as failure:
            lost = None if failure.applied is None else True
            raise _failed(change, failure, "the connector is deleted", applied=lost) from failure
        log.info("%s: dropped %s", change.address, _names(change))
        return f"{_names(change)} dropped"

    def _attempt(self, change: Change, connector: Connector, busy: list[Busy]) -> Callable[[], bool]:
        """One try, which comes true when it is done, and else says who is `busy` with the slot."""
        databases, login = self.databases, login_from_here(connector, self.connect_url)
        assert databases is not None, "there is something to drop in it"

        def dropped() -> bool:
            try:
                databases.drop(login, drops_of(change))
            except Busy as e:
                busy.append(e)
                return False
            return True

        return dropped

    def gone(self, change: Change) -> str:
        """Why a deleted connector may not be made again; empty where all that it had is still there."""
        if self.databases is None or not isinstance(change.after, Connector):
            return ""
        try:
            there = self.databases.there(login_from_here(change.after, self.connect_url), drops_of(change))
        except KplanError as failure:
            return f"whether {_names(change)} are still there is not known: {failure.message}"
        lost = [each for each in drops_of(change) if each not in there]
        return f"{' and '.join(lost)} dropped: made again it would miss what happened since" if lost else ""


def _failed(change: Change, failure: KplanError, standing: str, applied: bool | None) -> KplanError:
    problem = KplanError(
        f"{_names(change)} of {change.address} could not be dropped, and {standing}: {failure.message}",
        code=codes.K517,
        help=f"run this in its database, and leave `drop` out: {statements(drops_of(change))}",
    )
    problem.applied = applied
    return problem


def _names(change: Change) -> str:
    return " and ".join(drops_of(change))
