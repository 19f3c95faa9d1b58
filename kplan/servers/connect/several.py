"""The connectors of several Connect clusters in one environment, each on its own; one may not be reachable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from kplan.diagnostics import Diagnostic, ErrorClass, KplanError, codes
from kplan.kinds.connector.names import DEFAULT, alias_of
from kplan.kinds.topic.placement import Placement
from kplan.model import Address, Change, Facts, Resource, Target
from kplan.servers.base import CONNECT, BackendState, Outcome, Progress
from kplan.servers.connect.connectors import ConnectConnectors

V = TypeVar("V")


class SeveralConnects:
    """The Connect clusters of an environment by their aliases; the default one has an empty alias, and is the first."""

    kind = "connector"
    server = CONNECT
    check_name = "config/validate"

    def __init__(self, members: Mapping[str, ConnectConnectors]) -> None:
        self._members = members
        for member in members.values():
            member.find_peer = self.find

    @property
    def retries(self) -> int:
        return sum(member.retries for member in self._members.values())

    @property
    def members(self) -> Sequence[ConnectConnectors]:
        """Return the Connects, the default one first."""
        return list(self._members.values())

    def find(self, name: str) -> ConnectConnectors:
        """Return the Connect of a connector. Raises KplanError where the environment has no Connect of that alias."""
        alias = alias_of(name)
        if alias not in self._members:
            known = ", ".join(each or DEFAULT for each in self._members)
            raise KplanError(f"this environment has no Connect {alias}", code=codes.K218, help=f"it has {known}")
        return self._members[alias]

    def identify(self) -> Target:
        """Return the default one, with the others beside it. Raises the first failure where none answers."""
        answers = self._ask_all(ConnectConnectors.identify)
        targets = {alias: answer for alias, answer in answers.items() if isinstance(answer, Target)}
        if not targets:
            raise next(answer for answer in answers.values() if isinstance(answer, KplanError))
        clusters = {target.cluster_id for target in targets.values()}
        if len(clusters) > 1:
            return next(target for target in targets.values())  # the plan compares it with the brokers'
        others = tuple((a, t.connect_url, t.connect_version) for a, t in targets.items() if a)
        return replace(targets.get("", Target(clusters.pop())), connects=others)

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the live connectors of all; `unread` says of which Connect that failed. Raises where all fail."""
        answers = self._ask_all(lambda member: member.read(None if names is None else member.select(names)))
        failures = {alias: answer for alias, answer in answers.items() if isinstance(answer, KplanError)}
        for failure in failures.values():
            if failure.error_class is not ErrorClass.RETRIABLE or len(failures) == len(answers):
                raise failure
        states = [answer for answer in answers.values() if isinstance(answer, BackendState)]
        return BackendState(
            {a: r for state in states for a, r in state.resources.items()},
            frozenset().union(*(state.names for state in states)),
            health={a: h for state in states for a, h in state.health.items()},
            unread=failures,
        )

    def _ask_all(self, ask: Callable[[ConnectConnectors], V]) -> dict[str, V | KplanError]:
        """Ask all at once; a failure is an answer."""

        def answer(member: ConnectConnectors) -> V | KplanError:
            try:
                return ask(member)
            except KplanError as failure:
                return failure

        with ThreadPoolExecutor(len(self._members)) as pool:
            return dict(zip(self._members, pool.map(answer, self._members.values()), strict=True))

    def _ask_each(
        self, changes: Sequence[Change], ask: Callable[[ConnectConnectors, list[Change]], Mapping[Address, V]]
    ) -> dict[Address, V]:
        """Ask each Connect about its own changes, all at once."""
        own: dict[str, list[Change]] = {}
        for change in changes:
            self.find(change.address.name)
            own.setdefault(alias_of(change.address.name), []).append(change)
        if len(own) < 2:
            return {a: v for alias, some in own.items() for a, v in ask(self._members[alias], some).items()}
        with ThreadPoolExecutor(len(own)) as pool:
            answers = pool.map(lambda item: ask(self._members[item[0]], item[1]), own.items())
            return {address: value for answer in answers for address, value in answer.items()}

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        return self._ask_each(changes, ConnectConnectors.check)

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        return self._ask_each(changes, ConnectConnectors.capture)

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        return self._ask_each(changes, lambda member, own: member.act(own, captured))

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        return self._ask_each(changes, lambda member, own: member.settle(own, progress))

    def watch(self, addresses: Collection[Address], state: str) -> None:
        for member in self._members.values():
            member.watch(addresses, state)

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        own: dict[str, list[Resource]] = {}
        for resource in resources:
            own.setdefault(alias_of(resource.name), []).append(resource)
        known = {alias: some for alias, some in own.items() if alias in self._members}
        return {a: keys for alias, some in known.items() for a, keys in self._members[alias].passwords(some).items()}

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """Return none: only topics have facts."""
        return {}

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return frozenset()

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        return {}

    def placement(self, names: Collection[str]) -> Placement:
        return Placement()

    # -- operations that declare nothing
    def restart(self, name: str, failed_only: bool) -> None:
        self.find(name).restart(name, failed_only)

    def offsets(self, name: str) -> list[Any]:
        return self.find(name).offsets(name)

    def put_offsets(self, name: str, offsets: Sequence[Any] | None) -> None:
        self.find(name).put_offsets(name, offsets)

    def close(self) -> None:
        for member in self._members.values():
            member.close()
