"""All databases that a plan is about, asked side by side and in bounded time."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from queue import Empty, Queue

from kplan.diagnostics import KplanError
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, DatabaseState, Login
from kplan.kinds.connector.debezium.readiness import K
from kplan.servers.databases.base import PATIENCE, unreachable
from kplan.servers.databases.drivers import DRIVERS, DROPPING_DRIVERS

SIDE_BY_SIDE = 8


class RealDatabases:
    """The databases as the drivers reach them from here."""

    def look(self, asks: Mapping[K, DatabaseQuestion]) -> Mapping[K, DatabaseState | KplanError]:
        """What each says, or why not; who has not answered in time is left behind, a name that is looked up too."""
        waiting: Queue[tuple[K, DatabaseQuestion]] = Queue()
        answers: Queue[tuple[K, DatabaseState | KplanError]] = Queue()
        for item in asks.items():
            waiting.put(item)
        for _ in range(min(SIDE_BY_SIDE, len(asks))):
            threading.Thread(target=_work, args=(waiting, answers), daemon=True).start()
        found: dict[K, DatabaseState | KplanError] = {}
        end = time.monotonic() + PATIENCE
        while len(found) < len(asks):
            try:
                address, answer = answers.get(timeout=max(0.0, end - time.monotonic()))
            except Empty:
                break
            found[address] = answer
        late = {a: unreachable(ask.login, f"not within {PATIENCE} s") for a, ask in asks.items() if a not in found}
        return found | late

    def there(self, login: Login, drops: Sequence[str]) -> list[str]:
        return DROPPING_DRIVERS[login.engine].there(login, drops)

    def drop(self, login: Login, drops: Sequence[str]) -> None:
        DROPPING_DRIVERS[login.engine].drop(login, drops)


def _work(waiting: Queue[tuple[K, DatabaseQuestion]], answers: Queue[tuple[K, DatabaseState | KplanError]]) -> None:
    while True:
        try:
            address, ask = waiting.get_nowait()
        except Empty:
            return
        answers.put((address, _look(ask)))


def _look(ask: DatabaseQuestion) -> DatabaseState | KplanError:
    try:
        return DRIVERS[ask.login.engine].look(ask)
    except KplanError as e:
        return e
