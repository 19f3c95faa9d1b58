"""Waits until every living broker shows topics as declared."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from kplan.diagnostics import Conflict, Denied, ErrorClass, KplanError
from kplan.model import Topic
from kplan.servers import topics as shared
from kplan.servers.base import ReportProgress
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.topic_reader import TopicReader, shape_of
from kplan.values import dataclass

MAX_NAMES_PER_BROKER: Final = 100  # topics for which every single broker is asked while settling


@dataclass(frozen=True, eq=False)
class TopicVisibility:
    """Reads what the brokers show. A wait ends when nothing more became visible for `timeout` seconds; `tell` receives
    the progress."""

    client: Client
    reader: TopicReader
    timeout: float
    tell: ReportProgress

    def await_visible(self, waiting: dict[str, Topic | None], grown: Collection[str],
                    report: Callable[[str], None]) -> KplanError | None:  # fmt: skip
        """Remove from `waiting` what is visible everywhere until it is empty or time is up; return the last problem.

        The time starts again whenever something becomes visible: ten thousand topics take longer than one.
        """
        started = last_progress = time.monotonic()
        total = len(waiting)
        rounds: dict[str, int] = {}
        seen: dict[int, set[str]] = {}
        has_reported = False
        problem: KplanError | None = None
        pause = 0.02
        while waiting:
            try:
                for name in self._list_visible(waiting, grown, rounds, seen):
                    del waiting[name]
                    last_progress = time.monotonic()
                problem = None
            except KplanError as failure:
                problem = failure
                if failure.error_class is not ErrorClass.RETRIABLE:
                    break
            self.tell("topics settled", total - len(waiting), total)
            now = time.monotonic()
            if not waiting or now - last_progress > self.timeout:
                break
            if now - started > 2 and not has_reported:
                has_reported = True
                for name in waiting:
                    report(name)
            time.sleep(min(pause, max(0.0, self.timeout - (now - last_progress))))
            pause = min(1.0, pause * 1.5)
        return problem

    def _list_visible(
        self,
        waiting: Mapping[str, Topic | None],
        grown: Collection[str],
        rounds: dict[str, int],
        seen: dict[int, set[str]],
    ) -> list[str]:
        """Return the topics that every broker shows. `rounds` counts good metadata, `seen` remembers each broker's."""
        metadata = self.client.metadata()
        brokers = list(metadata.brokers)
        candidates = [name for name, topic in waiting.items() if _is_in_metadata(topic, metadata.topics.get(name))]
        for name in waiting:
            rounds[name] = rounds.get(name, 0) + 1 if name in candidates else 0
        for broker in brokers:
            visible = seen.setdefault(broker, set())
            to_ask = [name for name in candidates if name not in visible]
            answers = self.reader.read_configs(_sample(to_ask), broker if len(brokers) > 1 else None)
            confirmed = {name for name, answer in answers.items() if _has_declared_configs(waiting[name], answer)}
            visible |= set(to_ask) if len(confirmed) == len(answers) else confirmed
            candidates = [name for name in candidates if name in visible]
        min_rounds = 1 if len(brokers) == 1 else 2 * len(brokers)
        return [name for name in candidates if name not in grown or rounds[name] >= min_rounds]


def _sample(names: Sequence[str]) -> list[str]:
    """Return at most MAX_NAMES_PER_BROKER of the names, evenly spread, including the last one."""
    step = -(-len(names) // MAX_NAMES_PER_BROKER) or 1
    return list(names[::-1][::step])


def _is_in_metadata(declared: Topic | None, listed: Any) -> bool:
    """Return whether one broker's metadata has the topic as declared, every partition with a leader."""
    if declared is None or listed is None:
        return declared is None and listed is None
    partitions, factor = shape_of(listed.partitions.values())
    return (
        partitions > 0
        and declared.partitions in (-1, partitions)
        and declared.replication_factor in (-1, factor)
        and all(p.leader >= 0 for p in listed.partitions.values())
    )


def _has_declared_configs(declared: Topic | None, answer: Any) -> bool:
    """Return whether a broker's answer for a topic's configs is as declared; it must not know a deleted topic."""
    if declared is None:
        return isinstance(answer, Conflict | Denied)  # for a user who may not see it a missing topic is code 29
    return not isinstance(answer, KplanError) and shared.has_configs(
        Topic(declared.name, config=answer), declared.config, ()
    )
