"""Asks all databases of a plan in parallel and in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from queue import Empty, Queue

from kplan.diagnostics import KplanError
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, DatabaseState, Login
from kplan.kinds.connector.debezium.readiness import K
from kplan.servers.databases.base import PLAN_TIMEOUT_S, unreachable_error
from kplan.servers.databases.drivers import DRIVERS, DROPPING_DRIVERS

MAX_THREADS = 8


class RealDatabases:
    """The databases as the drivers reach them from here."""

    def read_states(self, questions: Mapping[K, DatabaseQuestion]) -> Mapping[K, DatabaseState | KplanError]:
        """Read each state, or why that failed; give up databases that do not answer in time, name lookups too."""
        waiting: Queue[tuple[K, DatabaseQuestion]] = Queue()
        answers: Queue[tuple[K, DatabaseState | KplanError]] = Queue()
        for item in questions.items():
            waiting.put(item)
        for _ in range(min(MAX_THREADS, len(questions))):
            threading.Thread(target=_read_waiting, args=(waiting, answers), daemon=True).start()
        states: dict[K, DatabaseState | KplanError] = {}
        end = time.monotonic() + PLAN_TIMEOUT_S
        while len(states) < len(questions):
            try:
                address, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                break
            states[address] = answer
        timeouts = {
            a: unreachable_error(ask.login, f"not within {PLAN_TIMEOUT_S} s")
            for a, ask in questions.items()
            if a not in states
        }
        return states | timeouts

    def find_existing(self, login: Login, drops: Sequence[str]) -> list[str]:
        return DROPPING_DRIVERS[login.engine].find_existing(login, drops)

    def drop(self, login: Login, drops: Sequence[str]) -> None:
        DROPPING_DRIVERS[login.engine].drop(login, drops)


def _read_waiting(
    waiting: Queue[tuple[K, DatabaseQuestion]], answers: Queue[tuple[K, DatabaseState | KplanError]]
) -> None:
    while True:
        try:
            address, question = waiting.get_nowait()
        except Empty:
            return
        answers.put((address, _read_state(question)))


def _read_state(question: DatabaseQuestion) -> DatabaseState | KplanError:
    try:
        return DRIVERS[question.login.engine].read_state(question)
    except KplanError as e:
        return e
