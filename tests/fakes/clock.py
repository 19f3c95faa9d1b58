"""A clock that goes on only when somebody sleeps, so that nothing waits; and what is to happen at a time."""

from __future__ import annotations

from collections.abc import Callable


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.then: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        for due in [item for item in self.then if item[0] <= self.now]:
            self.then.remove(due)
            due[1]()

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        self.then.append((seconds, action))
