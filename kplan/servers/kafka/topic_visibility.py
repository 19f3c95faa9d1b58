"""Waits until every living broker shows topics as they were asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kplan.diagnostics import Conflict, Denied, ErrorClass, KplanError
from kplan.model import Topic
from kplan.servers import topics as shared
from kplan.servers.base import Tell
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.topic_reader import TopicReader, shape_of

ASKED_OF_EACH: Final = 100  # topics for which every single broker is asked while settling


@dataclass(frozen=True, eq=False)
class TopicVisibility:
    """What the brokers show. A wait ends when nothing more has come to show for `timeout` seconds; `tell` hears how
    far it is."""

    client: Client
    reader: TopicReader
    timeout: float
    tell: Tell

    def await_shown(self, waiting: dict[str, Topic | None], grown: Collection[str],
                    tell: Callable[[str], None]) -> KplanError | None:  # fmt: skip
        """Takes out of `waiting` what shows everywhere until nothing is left or time is up; the trouble, if any.

        The time begins anew whenever something shows: ten thousand topics take longer than one.
        """
        began = moved = time.monotonic()
        every = len(waiting)
        rounds: dict[str, int] = {}
        seen: dict[int, set[str]] = {}
        told = False
        problem: KplanError | None = None
        pause = 0.02
        while waiting:
            try:
                for name in self._list_shown(waiting, grown, rounds, seen):
                    del waiting[name]
                    moved = time.monotonic()
                problem = None
            except KplanError as trouble:
                problem = trouble
                if trouble.error_class is not ErrorClass.RETRIABLE:
                    break
            self.tell("topics settled", every - len(waiting), every)
            now = time.monotonic()
            if not waiting or now - moved > self.timeout:
                break
            if now - began > 2 and not told:
                told = True
                for name in waiting:
                    tell(name)
            time.sleep(min(pause, max(0.0, self.timeout - (now - moved))))
            pause = min(1.0, pause * 1.5)
        return problem

    def _list_shown(
        self,
        waiting: Mapping[str, Topic | None],
        grown: Collection[str],
        rounds: dict[str, int],
        seen: dict[int, set[str]],
    ) -> list[str]:
        """Which topics are as asked on every broker. `rounds` counts good metadata, `seen` remembers each broker's."""
        metadata = self.client.metadata()
        brokers = list(metadata.brokers)
        good = [name for name, topic in waiting.items() if _shows(topic, metadata.topics.get(name))]
        for name in waiting:
            rounds[name] = rounds.get(name, 0) + 1 if name in good else 0
        for broker in brokers:
            there = seen.setdefault(broker, set())
            left = [name for name in good if name not in there]
            answers = self.reader.read_configs(_sample(left), broker if len(brokers) > 1 else None)
            fine = {name for name, answer in answers.items() if _as_asked(waiting[name], answer)}
            there |= set(left) if len(fine) == len(answers) else fine
            good = [name for name in good if name in there]
        enough = 1 if len(brokers) == 1 else 2 * len(brokers)
        return [name for name in good if name not in grown or rounds[name] >= enough]


def _sample(names: Sequence[str]) -> list[str]:
    """At most ASKED_OF_EACH of the names, evenly spread, the last one among them."""
    step = -(-len(names) // ASKED_OF_EACH) or 1
    return list(names[::-1][::step])


def _shows(asked: Topic | None, listed: Any) -> bool:
    """Whether one broker's metadata has the topic as asked, every partition with a leader."""
    if asked is None or listed is None:
        return asked is None and listed is None
    partitions, factor = shape_of(listed.partitions.values())
    return (
        partitions > 0
        and asked.partitions in (-1, partitions)
        and asked.replication_factor in (-1, factor)
        and all(p.leader >= 0 for p in listed.partitions.values())
    )


def _as_asked(asked: Topic | None, answer: Any) -> bool:
    """Whether a broker's answer for a topic's configs is what was asked for; of a deleted one it must know nothing."""
    if asked is None:
        return isinstance(answer, Conflict | Denied)  # a missing topic is 29 to those who may not see it
    return not isinstance(answer, KplanError) and shared.has_configs(Topic(asked.name, config=answer), asked.config, ())
