"""Waits until changes of topics, including moved replicas, are visible everywhere."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kplan.diagnostics import Denied, KplanError, Timeout
from kplan.model import Action, Address, Change, Topic
from kplan.servers import topics as shared
from kplan.servers.base import Outcome, Progress
from kplan.servers.kafka.reassign import Reassignments
from kplan.servers.kafka.topic_changes import TopicChanges
from kplan.servers.kafka.topic_visibility import TopicVisibility
from kplan.values import dataclass


@dataclass(frozen=True, eq=False)
class TopicSettling:
    """Waits for what was sent."""

    changes: TopicChanges
    visibility: TopicVisibility
    replicas: Reassignments

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until each topic is on every living broker as declared (or on none), or time is up.

        Each broker is asked by name for the topics' configs: a DescribeConfigs request that names a broker goes to that
        broker, and one that has not heard of a topic answers 3. Brokers follow the one metadata log in its order, a
        request's records together, so of many topics each broker is asked for some and the last (asking for all of
        1,000 takes longer than creating them); all of them must be in the metadata. Counts of partitions cannot be
        asked of a chosen broker: after a growth the metadata, which comes from a random broker, must be right several
        times in a row. Replicas that are moved have a time of their own, and configs that need them are set then.
        """
        outcomes = self._settle_moves(changes, progress)
        changes = [change for change in changes if outcomes.get(change.address, Outcome()).ok]
        waiting: dict[str, Topic | None] = {}
        for change in changes:
            after = change.after if change.action is not Action.DELETE else None
            waiting[change.address.name] = after if isinstance(after, Topic) else None
        declared = dict(waiting)
        grown = frozenset(change.address.name for change in changes if shared.new_partitions(change))
        status = {name: "deleted, still listed" if topic is None else "accepted, not visible on every broker yet"
                for name, topic in waiting.items()}  # fmt: skip
        problem = self.visibility.await_visible(
            waiting, grown, lambda name: progress(Address("topic", name), status[name])
        )
        return outcomes | {c.address: self._make_outcome(c.address.name, declared, waiting, problem) for c in changes}

    def _settle_moves(self, changes: Sequence[Change], progress: Progress) -> dict[Address, Outcome]:
        """Return the outcome of each reassignment, and of the configs that waited for it."""
        outcomes = self.replicas.settle(changes, progress)
        ready = [change for change in changes if shared.configs_follow_replicas(change) and outcomes[change.address].ok]
        settings = {c.address.name: shared.config_changes(c) for c in ready if any(shared.config_changes(c))}
        refused = {n: problem for n, problem in self.changes.set_configs(settings).items() if problem}
        return outcomes | {Address("topic", n): Outcome(problem, unsure=True) for n, problem in refused.items()}

    def _make_outcome(self, name: str, declared: Mapping[str, Topic | None], waiting: Collection[str],
                 problem: KplanError | None) -> Outcome:  # fmt: skip
        if name not in waiting:
            return Outcome()
        if isinstance(problem, Denied):
            return Outcome(problem)
        message = "it is still listed" if declared[name] is None else shared.NOT_IN_TIME
        cause = f" ({problem.message})" if problem else ""
        return Outcome(Timeout(f"{message} after {self.visibility.timeout:g} s{cause}"))
