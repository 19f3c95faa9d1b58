"""An environment that is open: its servers and its state, closed together."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kplan.app.servers import open_cluster, open_store
from kplan.diagnostics import KplanError
from kplan.phases import phase
from kplan.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from concurrent.futures import Future

    from kplan.app.runtime import Runtime
    from kplan.model import Stack
    from kplan.planning.reading import Prefetch
    from kplan.project.environment import Environment
    from kplan.servers.base import Cluster
    from kplan.servers.snapshots import Snapshot
    from kplan.state.base import Holder, Store

PARALLEL = 6  # connectors that are changed at the same time, unless a request says otherwise


@dataclass(frozen=True, slots=True)
class PreparedLock:
    """The holder of a stack's lock, which is being connected before it is taken."""

    stack: str
    holder: Holder
    connecting: Future[None]


@dataclass(frozen=True, slots=True)
class OpenEnvironment:
    """The servers and the state of `environment`. `begun` is what they are being asked already.

    `prepared` is the lock of the stack that is probably applied next.
    """

    environment: Environment
    cluster: Cluster
    store: Store
    begun: Prefetch | None = None
    prepared: PreparedLock | None = None

    def begin_reading(self, stacks: Sequence[Stack]) -> OpenEnvironment:
        """Begin to ask for what the stacks declare, too."""
        from kplan.planning.reading import begin_reading_declared

        if self.begun is None:
            return self
        return replace(self, begun=begin_reading_declared(self.begun, self.cluster, stacks))

    def had_open_runs(self, stacks: Collection[str]) -> bool:
        """Return whether one of the stacks was being applied when its state was read ahead."""
        if self.begun is None or self.begun.recorded.exception() is not None:  # which planning raises
            return False
        return any(stack in stacks for stack in self.begun.recorded.result().open_runs.values())

    def prepare_lock(self, stack: str, holder: Holder) -> PreparedLock:
        """Begin to connect what the stack's lock needs, once the state was read. Its thread ends with the process."""
        from kplan.planning.reading import start_call

        def connect() -> None:
            if self.begun is not None:
                self.begun.recorded.result()  # it tries again where no broker answers, and says so
            self.store.connect_lock(stack, holder)

        return PreparedLock(stack, holder, start_call(connect))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with phase("close the connections"):
            try:
                self.cluster.close()
            finally:
                self.store.close()


def open_environment(environment: Environment, runtime: Runtime, parallel: int = PARALLEL) -> OpenEnvironment:
    """Open the servers and the state. Nothing is asked of them yet. At most `parallel` connectors change at once."""
    cluster = open_cluster(environment, runtime.mask, runtime.warn, parallel, runtime.report_progress)
    try:
        return OpenEnvironment(environment, cluster, open_state(environment, runtime))
    except BaseException:
        cluster.close()
        raise


def open_state(environment: Environment, runtime: Runtime) -> Store:
    """Open the state alone."""
    return open_store(environment, runtime.key)


def open_snapshot(environment: Environment, snapshot: Snapshot, path: str) -> OpenEnvironment:
    """Open what stands for the servers and the state: the snapshot that was read from `path`.

    What kplan.yaml says of the servers counts here, too. Raises Stale where it is of another environment.
    """
    from kplan.app.servers import open_snapshot as open_recorded
    from kplan.servers.snapshots import refuse_other

    refuse_other(snapshot, environment.name)
    live = replace(snapshot.live, allows_by_default=environment.allows_by_default)
    cluster, store = open_recorded(replace(snapshot, live=live), path)
    return OpenEnvironment(environment, replace(cluster, internal_topics=environment.internal_topics), store)


def begin_reading(
    environment: Environment, runtime: Runtime, stack_names: Collection[str], parallel: int = PARALLEL
) -> OpenEnvironment | None:
    """Ask the servers, while the stacks are loaded, for what does not depend on them.

    `stack_names` are those that the files seem to have.

    None for a simulated cluster, which answers at once, and where a setting is wrong: opening reports it again, after
    what is wrong in the files.
    """
    from kplan.planning.reading import begin_reading

    if environment.simulated:
        return None
    runtime.learn(environment)
    with suppress(KplanError):
        opened = open_environment(environment, runtime, parallel)
        return replace(opened, begun=begin_reading(opened.cluster, opened.store, stack_names))
    return None
