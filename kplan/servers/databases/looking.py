"""Asks all databases of a plan in parallel and in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from queue import Empty, Queue
from typing import TYPE_CHECKING, TypeVar

from kplan.diagnostics import KplanError
from kplan.servers.databases.base import PLAN_TIMEOUT_S, unreachable_error

if TYPE_CHECKING:  # most plans ask no database, so engines and drivers are imported with the first question
    from kplan.kinds.connector.debezium.engine import DatabaseQuestion, DatabaseState, Login
    from kplan.kinds.connector.debezium.prediction.structure import TableStructure
    from kplan.kinds.connector.debezium.readiness import K

MAX_THREADS = 8
V = TypeVar("V")


class RealDatabases:
    """The databases as the drivers reach them from here."""

    def read_states(self, questions: Mapping[K, DatabaseQuestion]) -> Mapping[K, DatabaseState | KplanError]:
        """Read each state, or why that failed; give up databases that do not answer in time, name lookups too."""

        from kplan.servers.databases.drivers import DRIVERS

        def read(question: DatabaseQuestion) -> DatabaseState:
            return DRIVERS[question.login.engine].read_state(question)

        return _read_all({key: (question.login, partial(read, question)) for key, question in questions.items()})

    def read_structures(self, logins: Collection[Login]) -> Mapping[Login, Sequence[TableStructure] | KplanError]:
        """Read the tables of each database, or why that failed, in the same bounded time."""

        from kplan.servers.databases.drivers import DRIVERS

        def read(login: Login) -> Sequence[TableStructure]:
            return DRIVERS[login.engine].read_structures(login)

        return _read_all({login: (login, partial(read, login)) for login in logins})

    def find_existing(self, login: Login, drops: Sequence[str]) -> list[str]:
        from kplan.servers.databases.drivers import DROPPING_DRIVERS

        return DROPPING_DRIVERS[login.engine].find_existing(login, drops)

    def drop(self, login: Login, drops: Sequence[str]) -> None:
        from kplan.servers.databases.drivers import DROPPING_DRIVERS

        DROPPING_DRIVERS[login.engine].drop(login, drops)


def _read_all(readings: Mapping[K, tuple[Login, Callable[[], V]]]) -> dict[K, V | KplanError]:
    """Do each reading in a thread; one that has not ended in time is given up."""
    waiting: Queue[tuple[K, Callable[[], V]]] = Queue()
    answers: Queue[tuple[K, V | KplanError]] = Queue()
    for key, (_, read) in readings.items():
        waiting.put((key, read))
    for _ in range(min(MAX_THREADS, len(readings))):
        threading.Thread(target=_read_waiting, args=(waiting, answers), daemon=True).start()
    found: dict[K, V | KplanError] = {}
    end = time.monotonic() + PLAN_TIMEOUT_S
    while len(found) < len(readings):
        try:
            key, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            break
        found[key] = answer
    late = {key: login for key, (login, _) in readings.items() if key not in found}
    return found | {key: unreachable_error(login, f"not within {PLAN_TIMEOUT_S} s") for key, login in late.items()}


def _read_waiting(waiting: Queue[tuple[K, Callable[[], V]]], answers: Queue[tuple[K, V | KplanError]]) -> None:
    while True:
        try:
            key, read = waiting.get_nowait()
        except Empty:
            return
        try:
            answers.put((key, read()))
        except KplanError as e:
            answers.put((key, e))
