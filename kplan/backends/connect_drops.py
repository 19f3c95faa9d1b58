"""Drops in the database what outlives a connector, once the connector is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from kplan.databases.base import Databases
from kplan.diagnostics import Busy, KplanError
from kplan.discovery import login_from_here
from kplan.drops import statements
from kplan.model import Change, Connector

log = logging.getLogger("kplan.backends.connect")  # one name for all that is done with Connect


@dataclass(frozen=True, slots=True)
class Drops:
    """`until` repeats a test for as long as a change may settle: a task that has ended holds its slot for a while."""

    databases: Databases | None
    connect_url: str
    until: Callable[[Callable[[], bool]], bool]

    def run(self, change: Change) -> str:
        """None of what is to be dropped is there; answers what there is to say. Raises KplanError with the SQL."""
        if self.databases is None or not isinstance(change.before, Connector):
            return ""
        busy: list[Busy] = []
        try:
            login = login_from_here(change.before, self.connect_url)

            def dropped() -> bool:
                assert self.databases is not None
                try:
                    self.databases.drop(login, change.drops)
                except Busy as e:
                    busy.append(e)
                    return False
                return True

            if not self.until(dropped):
                raise busy[-1]
        except KplanError as failure:
            raise KplanError(
                f"{change.address} is deleted, and {_names(change)} could not be dropped: {failure.message}",
                code="K517",
                help=f"run this in its database, and leave `drop` out: {statements(change.drops)}",
                applied=None if failure.applied is None else True,
            ) from failure
        log.info("%s: dropped %s", change.address, _names(change))
        return f"{_names(change)} dropped"

    def gone(self, change: Change) -> str:
        """Why a deleted connector may not be made again; empty where all that it had is still there."""
        if self.databases is None or not isinstance(change.after, Connector):
            return ""
        try:
            there = self.databases.there(login_from_here(change.after, self.connect_url), change.drops)
        except KplanError as failure:
            return f"whether {_names(change)} are still there is not known: {failure.message}"
        lost = [each for each in change.drops if each not in there]
        return f"{' and '.join(lost)} dropped: made again it would miss what happened since" if lost else ""


def _names(change: Change) -> str:
    return " and ".join(change.drops)
