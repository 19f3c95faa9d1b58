"""The fault list: one thing goes wrong in the middle of an apply; kplan is judged by its exit code and what is there.

    python -m tests.faults.faults                          # everything
    python -m tests.faults.faults "Connect: 500" worker    # groups that begin so

0 means that all is as after, 7 that all is as before. After 8 `kplan recover` makes it so, once what was broken works
again, or names what the plan said cannot be undone. Any other exit code means that nothing was changed.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]

from kplan.state.base import UnfinishedWrite
from tests.faults import database, quotas, rights
from tests.faults.judging import (
    LOST,
    RECOVER,
    WAIT,
    Ground,
    Reference,
    Track,
    judged,
    told,
)
from tests.faults.proxy import CHANGING, STORING, Fault, Request
from tests.faults.running import Running, kplan
from tests.faults.stage import Stage
from tests.faults.world import REQUEST, SMALL, World

LANES = 6
LATER = REQUEST + 2  # seconds: past the timeout
STALE = (
    "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)"
)
BUSY = "Cannot complete request because of a conflicting operation (e.g. worker rebalance)"
EXPECTED = "Request cannot be completed because a rebalance is expected"
FORWARDING = "IO Error trying to forward REST request: java.net.ConnectException: Connection refused"
CHANGES = (("PUT", "config"), ("PUT", "stop"), ("POST", "connectors"), ("PATCH", "offsets"), ("PUT", "resume"),
           ("DELETE", "offsets"), ("DELETE", ""))  # fmt: skip
Spoil = Callable[[World], None]


def nothing(world: World) -> None:
    """All is well."""


@dataclass(frozen=True)
class Case:
    """`spoil` is done before the apply, `mend` after it. `says` must be in what kplan prints, where it is given."""

    group: str
    name: str
    spoil: Spoil
    mend: Spoil = nothing
    prepare: Callable[[], None] | None = None
    says: str | Callable[[World], str] = ""

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


# -- what goes wrong between kplan and the servers --------------------------------------------------------------------
def passing(fault: Callable[[], Sequence[Fault]]) -> Spoil:
    """Faults of the lane's proxies, made anew for each trial."""
    return lambda world: world.lane.spoil(*fault())


def named(*names: str) -> Callable[[Request], bool]:
    return lambda request: request.method in names


def on_connect(method: str, what: str) -> Callable[[Request], bool]:
    """A request by its method and the last part of its path; the empty part stands for the connector itself."""

    def wanted(request: Request) -> bool:
        parts = request.path.strip("/").split("/")
        last = "" if len(parts) == 2 else parts[-1]
        return request.method == method and parts[0] == "connectors" and last == what

    return wanted


def lost_answers() -> Iterator[Case]:
    """Requests and answers that are lost, cut off or late, on the way to the brokers and to Connect."""
    kinds = {"lose": 0.0, "cut": 0.0, "half": 0.0, "reset": 0.0, "late": LATER, "slow": LATER}
    for kind, seconds in kinds.items():
        for api in sorted(CHANGING):
            yield Case(f"Kafka: {kind}", api, passing(partial(_one, kind, named(api), seconds)))
        for api in sorted(STORING):
            yield Case(f"state: {kind}", api, passing(partial(_one, kind, named(api), seconds, skip=5)))
        for method, what in CHANGES:
            held = LATER if kind == "lose" else seconds
            yield Case(
                f"Connect: {kind}", f"{method} {what}", passing(partial(_one, kind, on_connect(method, what), held))
            )
    yield Case("Kafka: lose", "DescribeConfigs", passing(partial(_one, "lose", named("DescribeConfigs"), skip=2)))
    yield Case("Kafka: cut", "Metadata", passing(partial(_one, "cut", named("Metadata"), skip=4)))
    yield Case("Connect: lose", "GET", passing(partial(_one, "lose", named("GET"), LATER, skip=8)))


def _one(kind: str, wanted: Callable[[Request], bool], seconds: float = 0.0, skip: int = 0) -> list[Fault]:
    return [Fault(kind, wanted, skip=skip, seconds=seconds)]


def refusals() -> Iterator[Case]:
    """What Connect, or something between, answers: once or twice, for ever, or although the worker acted."""
    for status, words in ((409, STALE), (409, BUSY), (500, EXPECTED), (500, FORWARDING), (503, "")):
        for method, what in CHANGES:
            make = partial(_answered, "status", on_connect(method, what), status, words, 2)
            yield Case(f"Connect: {status}", f"{method} {what}: {words[:30] or 'unavailable'}", passing(make))
    for method, what in CHANGES:
        wanted = on_connect(method, what)
        for status in (500, 503):
            spoilt = partial(_answered, "spoilt", wanted, status, "Request timed out", 1)
            yield Case(f"Connect: {status} though done", f"{method} {what}", passing(spoilt))
        for_ever = partial(_answered, "status", wanted, 500, "java.lang.NullPointerException", 10_000)
        yield Case("Connect: 500 for ever", f"{method} {what}", passing(for_ever))
    for status in (409, 500, 503):
        words = {409: BUSY, 500: EXPECTED}.get(status, "")
        yield Case(
            f"Connect: {status}", "GET", passing(partial(_answered, "status", named("GET"), status, words, 4, 6))
        )


def _answered(
    kind: str, wanted: Callable[[Request], bool], status: int, words: str, times: int, skip: int = 0
) -> list[Fault]:
    return [Fault(kind, wanted, skip=skip, times=times, status=status, words=words)]


def resets() -> Iterator[Case]:
    """Every connection to the broker is reset in the middle of something."""
    for api in sorted(CHANGING | {"EndTxn"}):

        def spoil(world: World, api: str = api) -> None:
            def hit(request: Request) -> None:
                for (_, lane), proxy in world.lane.stage.kafka.proxies.items():
                    if lane == world.lane.number:
                        proxy.break_all()

            world.lane.spoil(Fault("pass", named(api), hit=hit))

        yield Case("Kafka: all connections reset", api, spoil)


# -- what goes wrong with the servers themselves ----------------------------------------------------------------------
def at(wanted: Callable[[Request], bool], do: Callable[[Stage], None], kind: str = "pass", skip: int = 0) -> Spoil:
    """`do` is done in the background while such a request is on its way."""

    def spoil(world: World) -> None:
        stage = world.lane.stage

        def hit(request: Request) -> None:
            thread = threading.Thread(target=do, args=(stage,))
            stage.busy.append(thread)
            thread.start()

        world.lane.spoil(Fault(kind, wanted, skip=skip, hit=hit))

    return spoil


def await_stage(world: World) -> None:
    """Whatever was killed in the background is up again."""
    world.lane.stage.await_all()


def worker_killed() -> Iterator[Case]:
    """The only Connect worker dies, and comes back at once or when kplan has given up."""

    def kill(stage: Stage) -> None:
        stage.connect.kill()

    def kill_and_start(stage: Stage) -> None:
        stage.connect.kill()
        stage.connect.start()

    for method, what in (("PUT", "config"), ("POST", "connectors"), ("DELETE", "")):
        wanted = on_connect(method, what)
        yield Case("worker killed, back at once", f"{method} {what}", at(wanted, kill_and_start), await_stage)
        yield Case("worker killed, back later", f"{method} {what}", at(wanted, kill), await_stage)


def broker_restarted() -> Iterator[Case]:
    """The only broker dies in the middle of a wave and comes back."""

    def killed(stage: Stage) -> None:
        stage.kafka.kill()
        time.sleep(1)
        stage.kafka.restart()

    def stopped(stage: Stage) -> None:
        stage.kafka.restart()

    for api in ("CreateTopics", "IncrementalAlterConfigs", "CreatePartitions", "EndTxn"):
        skip = 5 if api == "EndTxn" else 0
        yield Case("broker killed and started", api, at(named(api), killed, skip=skip), await_stage)
    for method, what in (("PUT", "config"), ("DELETE", "")):
        yield Case("broker stopped and started", f"{method} {what}", at(on_connect(method, what), stopped), await_stage)


def leader_changed() -> Iterator[Case]:
    """One of three brokers dies in the middle of a wave, among them the one that leads the state, and comes back."""

    def killed(stage: Stage, node: int) -> None:
        stage.kafka.kill(node)
        time.sleep(6)
        stage.kafka.restart(node)

    for node in (1, 2, 3):
        for api in ("CreateTopics", "EndTxn"):
            spoil = at(named(api), partial(killed, node=node), skip=5 if api == "EndTxn" else 0)
            yield Case("one of three brokers killed", f"broker {node} at {api}", spoil, await_stage)


# -- what goes wrong with the state -----------------------------------------------------------------------------------
def full_disk() -> Iterator[Case]:
    """The state is in a file, and no file may grow beyond so many KiB (RLIMIT_FSIZE: a write answers EFBIG)."""
    for size in (12, 24, 40, 56, 72, 96, 128, 192, 256, 384):
        yield Case("disk full (SQLite)", f"{size} KiB", nothing, prepare=partial(limit_files, size * 1024))


def limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def not_allowed() -> Iterator[Case]:
    """The user may read the state and not write it."""

    written = rights.Right(AclOperation.WRITE, rights.state)
    yield Case("no permission for the state", "Write", written.deny, rights.give_back, says="Write on Topic __kplan")


def rights_lost() -> Iterator[Case]:
    """The user loses a right while the apply is on its way, and has it again when the apply has ended."""
    for loss in rights.losses():

        def spoil(world: World, loss: rights.Loss = loss) -> None:
            def hit(request: Request) -> None:
                for right in loss.rights:
                    right.deny(world)

            world.lane.spoil(Fault("pass", named(loss.api), skip=loss.skip, hit=hit))

        yield Case("right lost", str(loss), spoil, rights.give_back)


def slowed_down() -> Iterator[Case]:
    """The brokers slow kplan down."""
    for limit in quotas.limits():
        yield Case("quota", str(limit), limit.set, limit.remove)


def database_ends(engine: str) -> Iterator[Case]:
    """The database that connectors read is killed or stopped, and started when the apply has ended."""
    group = f"database, {engine}"
    Database = database.Database
    for moment in database.MOMENTS:
        says = database.place_of if moment.says_place else ""
        yield Case(group, f"killed {moment}", partial(database.end, moment, Database.kill), database.mend, says=says)
    for moment in database.MOMENTS[::2]:
        spoil = partial(database.end, moment, Database.stop)
        yield Case(group, f"stopped {moment}, recovered too early", spoil, database.recover_too_early)
    for moment in database.MOMENTS[2:]:
        spoil = partial(database.end, moment, database.kill_for_a_moment)
        yield Case(group, f"killed {moment}, back at once", spoil, database.mend)


@dataclass(frozen=True)
class Setting:
    """The services that some cases need, and how many of them may be spoilt at once."""

    cases: tuple[Callable[[], Iterator[Case]], ...]
    lanes: int = 1
    brokers: int = 1
    properties: dict[str, str] = field(default_factory=dict)
    sqlite: bool = False
    database: str = ""

    @contextmanager
    def ground(self) -> Iterator[Ground]:
        with ExitStack() as stack:
            stage = stack.enter_context(Stage(self.lanes, self.brokers, self.properties))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for lane in stage.lanes:
                lane.proxied = True
            scene = SMALL
            if self.database:
                stage.database = stack.enter_context(database.started(self.database, folder))
                scene = database.scene(stage.database, stage.kafka.bootstrap)
            yield Ground(stage, scene, "w", folder if self.sqlite else None)


SETTINGS = (
    Setting((lost_answers, refusals, resets), LANES),
    Setting((full_disk,), LANES, sqlite=True),
    Setting((worker_killed, broker_restarted)),
    Setting((leader_changed,), brokers=3),
    Setting((not_allowed, rights_lost), properties=rights.GUARDED),
    Setting((slowed_down,), properties=quotas.WINDOWS),
    *(Setting((partial(database_ends, each),), database=each) for each in (database.POSTGRES, database.MARIADB)),
)


# -- one trial --------------------------------------------------------------------------------------------------------
ENDS = (
    "0, after",
    "7, before",
    "8, before",
    "8, after",
    "8, named",
    "died, before",
    "died, named",
    "else, before",
    LOST,
)


@dataclass
class Score:
    """How the trials of a group ended."""

    tried: int = 0
    ends: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENDS, 0))
    seconds: float = 0.0  # of all of them together, although they run side by side

    def count(self, end: str, seconds: float) -> None:
        self.tried += 1
        self.ends[end] += 1
        self.seconds += seconds


def outcome(case: Case, world: World, reference: Reference) -> tuple[str, str]:
    """One of ENDS, and what kplan said."""
    case.spoil(world)
    running = Running(world.machine(world.stack), [*world.apply, *WAIT], prepare=case.prepare)
    ended = running.wait()
    case.mend(world)
    faults = world.lane.connect_proxy.faults
    missed = any(not fault.spoilt for fault in faults)
    for fault in faults:
        fault.await_over(20)
    world.lane.spoil()
    words = case.says if isinstance(case.says, str) else case.says(world)
    said = [told(ended)]
    code, out = ended.code, ended.out
    died = ended.code < 0  # librdkafka 2.16 sometimes ends the process itself, by an assertion, when a broker goes
    asked = ended.code == 8 or died
    if asked or unended(world):
        last = kplan(world.machine(), *RECOVER, *world.recover)
        code, out = last.code, last.out
        said.append(told(last))
    end, why = judged(world, reference, 8 if code == 8 else 0, out)
    world.leave()
    how = "died" if died else ended.code if ended.code in (0, 7, 8) else "else"
    name = f"{how}, {end.removeprefix('as ')}"
    if missed:
        name, why = LOST, "the fault never came: this test tests nothing"
    elif not asked and "Recovered" in out:
        name, why = LOST, "there was something to put back, and its exit code did not say so"
    elif words not in ended.out:
        name, why = LOST, f"it does not say {words!r}"
    return name if name in ENDS else LOST, "\n".join([*said, why])


def unended(world: World) -> bool:
    """Whether a broker died while it ended a transaction, so that nobody can read the state before a `recover`."""
    try:
        world.store.open_runs()
    except UnfinishedWrite:
        return True
    return False


def run(ground: Ground, cases: Sequence[Case], say: Callable[[str], None]) -> dict[str, Score]:
    """The scores of the cases, by group."""
    scores = {case.group: Score() for case in cases}
    reference, turn = ground.reference, threading.Lock()

    def work(case: Case, track: Track) -> None:
        began = time.monotonic()
        track.lane.proxied = True
        try:
            end, why = outcome(case, track.world(), reference)
        except Exception as exception:
            track.lane.stage.await_all()
            end, why = LOST, f"{type(exception).__name__}: {exception}"
        if not end.endswith("before"):
            track.give_up()
        seconds = time.monotonic() - began
        with turn:
            scores[case.group].count(end, seconds)
            print(f"{seconds:6.1f} s  {end}: {case}", file=sys.stderr, flush=True)
            if end == LOST:
                say(f"LOST {case}\n{why}")

    ground.each(cases, work)
    return scores


def table(scores: dict[str, Score]) -> str:
    rows = {group: [score.tried, *score.ends.values(), round(score.seconds)] for group, score in scores.items()}
    rows["all"] = [sum(cells) for cells in zip(*rows.values(), strict=True)]
    head = ("trials", *ENDS, "seconds")
    lines = [f"{'fault':32}" + "".join(f"{cell:>14}" for cell in head)]
    lines += [f"{name:32}" + "".join(f"{cell:>14}" for cell in cells) for name, cells in rows.items()]
    tried, lost = rows["all"][0], rows["all"][len(ENDS)]
    return "\n".join([*lines, "", f"faults tried: {tried}, survived: {tried - lost}, lost: {lost}"])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.faults")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="groups, by how their names begin")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th case")
    parser.add_argument("--list", action="store_true", help="only show the cases")
    asked = parser.parse_args(arguments)
    every = [case for setting in SETTINGS for make in setting.cases for case in make()]
    wanted = [case for case in every if not asked.groups or case.group.startswith(tuple(asked.groups))][:: asked.every]
    names = {str(case) for case in wanted}
    if asked.list:
        print("\n".join(sorted(names)))
        return 0
    scores: dict[str, Score] = {}
    for setting in SETTINGS:
        cases = [case for make in setting.cases for case in make() if str(case) in names]
        if cases:
            with setting.ground() as ground:
                scores |= run(ground, cases, lambda line: print(line, flush=True))
            print(table(scores), flush=True)
    return int(any(score.ends[LOST] for score in scores.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
