"""What is measured: each row of the table, as figures with the goal that they have."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import requests
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from kplan.app.opening import PARALLEL
from kplan.state.kafka.topic import SETTINGS
from tests.bench import sampler
from tests.bench.chart import Points
from tests.bench.delay import DelayingProxy
from tests.bench.measure import KPLAN, Comparison, Sample, called, compared, environment, floor
from tests.bench.sides import Arena, Cell, Sides, start_sides
from tests.services import ConnectWorker, KafkaCluster
from tests.services.process import free_port
from tests.services.registry import Registry

T = TypeVar("T")

SIZES = [int(size) for size in os.environ.get("KPLAN_BENCH_SIZES", "10,100,1000,3000,10000").split(",")]
NEW = 1_000  # topics of a first apply
MANY = 10_000  # changes of a plan that is shown, topics in files
CHANGED = 100  # topics that the tools change and destroy
CONNECTORS = 300
FEW_CONNECTORS = 20
RUNS = int(os.environ.get("KPLAN_BENCH_RUNS", "1000"))  # of the long history
SETTLING_RUNS, SETTLING_S = 4, 11.0  # the last ones, and a pause before each, longer than a segment
HUGE = 100_000  # topics on the simulation
MOST_MEMORY = 400  # MiB
DELAY = 0.03  # seconds to the broker and back
BINDINGS = 1_000
SUBJECTS = 1_000
# Of a broker with thousands of topics on a busy machine: it is not taken for dead, and may be slow.
PATIENT = {"broker.session.timeout.ms": "120000", "broker.heartbeat.interval.ms": "5000"}
HEAP = "1g"  # with 512m and 10,000 topics the broker does little else than collect garbage
PYTHON = (sys.executable, "-c")
PLAN_GOALS = {10: 1.4, 100: 1.4, 1_000: 0.8, 10_000: 0.5}  # by topics
SAFELY = """The bare client has no lock. kplan joins a consumer group for it, reads the state again under it, reads what
it is about to change a second time, and writes four transactions instead of two."""
BOTH = """The other one asks one server one thing. kplan reads the state, the topics and the brokers as well, at the
same time."""
HELD = """kplan waits longer: a task that runs must go on running for a second, as it can fail after its first poll, and
so must each wave of new connectors (32, 64, 128 …) before the next one is sent. It asks Connect to validate each config
before, and reads everything back after."""
UNGUARDED = """The other tool has no lock and keeps no journal, so it cannot put back what it did. The start of
Python and its imports, the brokers' judgement, the lock, the journal and the reading afterwards come on top of the
same request."""
IMPORTED = """Both start Python, click and yaml. The rest is mostly the import of what a stack needs to be understood:
the language, the kinds of resources, messages with their codes. These are over a hundred modules, a third of a
millisecond each. Reading and checking the 20 topics takes a tenth of the time."""
RENDERED = """The plan alone is the least, so what makes it faster makes this ratio larger. The document of JSON is
written whole, with its lines; the other two show a part, chosen from all steps."""
HISTORY = """
import sys
import time
import kplan

runs, last, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
for run in range(runs):
    time.sleep(pause if run >= runs - last else 0)
    config = f"{{config: {{retention.ms: {100_000_000 + run}}}}}"
    topics = "".join(f"  runs-{runs}.t{number}: {config}\\n" for number in range(5))
    with open("few.yaml", "w") as file:
        file.write("version: 1\\nstack: few\\ntopics:\\n" + topics)
    loaded = kplan.load("few.yaml")
    result = kplan.apply(kplan.plan(loaded), loaded.environment)
    assert result.exit_code == 0, result
"""
LINES = "org.apache.kafka.connect.file.FileStreamSourceConnector"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured ratio; without a goal it is there to be known.

    Where it misses its goal, `profile` says where kplan's time goes, and `more` what the other one does not do.
    `earlier` are the ratios of the runs before this one, which must meet the goal, too.
    """

    what: str
    against: str
    ratio: float
    ours: str
    theirs: str
    goal: float | None = None
    processor: float | None = None
    profile: str = field(default="", repr=False)
    more: str = ""
    earlier: tuple[float, ...] = ()

    @property
    def meets(self) -> bool:
        return self.goal is None or all(round(ratio, 2) <= self.goal for ratio in (*self.earlier, self.ratio))

    def explained(self, look: Callable[[], str]) -> Figure:
        """With its profile, taken now, while what it needs still runs."""
        return self if self.meets else replace(self, profile=look())

    def after(self, runs: Sequence[Sequence[Figure]]) -> Figure:
        """With what was measured of it in earlier runs."""
        found = [figure for run in runs for figure in run if figure.what == self.what]
        profile = next((figure.profile for figure in reversed([*found, self]) if figure.profile), "")
        return replace(self, earlier=tuple(figure.ratio for figure in found), profile=profile)


@dataclass
class Bench:
    """The services and the folder of one run; what it learns about growth is in `curves`."""

    folder: Path
    closing: ExitStack
    curves: dict[str, dict[str, Points]] = field(default_factory=dict)
    tools: Path | None = None  # the folder of other tools

    @cached_property
    def sides(self) -> Sides:
        """The table of the tools, which the row of peers fills."""
        return start_sides(self.tools)

    @cached_property
    def kafka(self) -> KafkaCluster:
        return self.closing.enter_context(KafkaCluster(properties=PATIENT, heap=HEAP))

    @cached_property
    def guarded(self) -> KafkaCluster:
        """A broker with an authorizer, on which everybody is a super user."""
        return self.closing.enter_context(KafkaCluster(properties={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS", **PATIENT,
        }))  # fmt: skip

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap, "allow.auto.create.topics": False})

    @cached_property
    def connect(self) -> ConnectWorker:
        plugins = self.folder / "plugins"
        plugins.mkdir()
        return self.closing.enter_context(ConnectWorker(self.kafka.bootstrap, plugins))

    def stack(self, name: str, topics: int, prefix: str, folder: str = "") -> Path:
        """A stack file of so many topics."""
        path = self.folder / folder / f"{name}.yaml"
        blocks = "".join(f"  {prefix}{number:05}:\n" for number in range(topics))
        path.write_text(f"version: 1\nstack: {name}\ndefaults: {{topic: {{config: {{retention.ms: 7d}}}}}}\n"
                        f"topics:\n{blocks}")  # fmt: skip
        return path

    def start_project(self, name: str, state: str) -> Path:
        """Return a folder with a kplan.yaml, whose environment keeps its state in this topic."""
        folder = self.folder / name
        folder.mkdir()
        settings = f"kafka: {{bootstrap.servers: '{self.kafka.bootstrap}'}}, state: {{kafka_topic: {state}}}"
        (folder / "kplan.yaml").write_text(f"version: 1\ndefault: bench\nenvironments: {{bench: {{{settings}}}}}\n")
        return folder

    def kplan(self, *words: object, codes: Sequence[int] = (0,)) -> Sample:
        return called([*KPLAN, *map(str, words)], self.folder, codes)

    def python(self, code: str) -> Sample:
        return called([*PYTHON, code], self.folder)

    def floor(self, name: str, *words: object) -> Sample:
        return called(floor(name, *map(str, words)), self.folder)

    def make(self, prefix: str, count: int) -> None:
        """There are so many topics with this prefix."""
        there = self.admin.list_topics(timeout=60).topics
        new = [name for name in (f"{prefix}{number:05}" for number in range(count)) if name not in there]
        for start in range(0, len(new), 1_000):
            asked = [NewTopic(name, 1, -1, config={"retention.ms": "604800000"}) for name in new[start : start + 1_000]]
            for answer in self.admin.create_topics(asked, request_timeout=300, operation_timeout=300).values():
                answer.result(300)
            while not {topic.topic for topic in asked} <= self.admin.list_topics(timeout=60).topics.keys():
                time.sleep(0.1)

    def remove_connectors(self) -> None:
        """Connect has no connectors."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            names = requests.get(f"{self.connect.url}/connectors", timeout=60).json()
            list(pool.map(lambda name: requests.delete(f"{self.connect.url}/connectors/{name}", timeout=60), names))
        while requests.get(f"{self.connect.url}/connectors", timeout=60).json():
            self.remove_connectors()

    def forget(self, prefix: str) -> None:
        """The topics with this prefix are gone."""
        names = [name for name in self.admin.list_topics(timeout=60).topics if name.startswith(prefix)]
        for start in range(0, len(names), 1_000):
            for answer in self.admin.delete_topics(names[start : start + 1_000]).values():
                answer.result(60)
        while any(name.startswith(prefix) for name in self.admin.list_topics(timeout=60).topics):
            time.sleep(0.1)

    def where(self, *words: object, folder: Path | None = None) -> Callable[[], str]:
        """How to find out where kplan spends its time with these words."""
        return lambda: sampler.of([str(word) for word in words], folder or self.folder)


def _seconds(sample: Sample) -> str:
    return f"{sample.seconds:.3f} s" if sample.seconds < 10 else f"{sample.seconds:.1f} s"


def _figure(what: str, against: str, taken: Comparison, goal: float | None,
            look: Callable[[], str] = str, more: str = "") -> Figure:  # fmt: skip
    figure = Figure(what, against, taken.ratio(), _seconds(taken.ours), _seconds(taken.floor), goal,
                    taken.ratio(lambda sample: sample.processor), more=more)  # fmt: skip
    return figure.explained(look)


# -- start-up ---------------------------------------------------------------------------------------------------------
def start(bench: Bench) -> Iterator[Figure]:
    calls = {
        "--version": ([0], ["--version"]),
        "--help": ([0], ["--help"]),
        "completion bash": ([0], ["completion", "bash"]),
        "a usage error": ([64], ["plan", "--no-such-flag"]),
    }
    for name, (codes, words) in calls.items():
        taken = compared(lambda: bench.kplan(*words, codes=codes), lambda: bench.python("import click"), 11)  # noqa: B023
        mistake = name.startswith("a ")
        what, goal = (name, None) if mistake else (f"`kplan {name}`", 1.15)
        yield _figure(what, '`python -c "import click"`', taken, goal, bench.where(*words))


def validate(bench: Bench) -> Iterator[Figure]:
    path = bench.stack("twenty", 20, "twenty.")
    taken = compared(lambda: bench.kplan("validate", path), lambda: bench.python("import click, yaml"), 11)
    against = '`python -c "import click, yaml"`'
    yield _figure("`kplan validate`, 20 topics", against, taken, 1.5, bench.where("validate", path), IMPORTED)


# -- topics -----------------------------------------------------------------------------------------------------------
def plan(bench: Bench) -> Iterator[Figure]:
    """Plans of more and more topics that are all there, and that the ledger has, which has nothing else."""
    taken: dict[int, Comparison] = {}
    folder, against = bench.start_project("plans", "__plans"), "bare client: metadata and configs of the same topics"

    def ours(*words: object) -> Sample:
        return called([*KPLAN, *map(str, words)], folder)

    def least() -> Sample:
        return bench.floor("plan", bench.kafka.bootstrap, "bench.")

    for size in SIZES:
        path = bench.stack("bench", size, "bench.", folder.name)
        bench.make("bench.", size)
        ours("apply", path, "--yes", "--quiet")
        taken[size] = compared(lambda: ours("plan", path), least)  # noqa: B023
        yield _figure(f"plan of {size:,} topics, no changes", against, taken[size], PLAN_GOALS.get(size),
                      bench.where("plan", path, folder=folder))  # fmt: skip
    yield from _plan_beside(bench, folder)
    bench.curves["plan"] = {
        "kplan": [(size, each.ours.seconds) for size, each in taken.items()],
        "bare client": [(size, each.floor.seconds) for size, each in taken.items()],
    }
    yield from _growth(taken, bench.where("plan", path, folder=folder))
    most = taken[SIZES[-1]]
    yield Figure(f"peak memory, plan of {SIZES[-1]:,} topics", "the bare client's", most.ratio(lambda s: s.peak),
                 f"{most.ours.peak:.0f} MiB", f"{most.floor.peak:.0f} MiB", 1.5)  # fmt: skip


def _plan_beside(bench: Bench, folder: Path) -> Iterator[Figure]:
    """A plan of few topics where the ledger has all those of the largest plan, which another stack owns."""
    path = bench.stack("beside", SIZES[0], "beside.", folder.name)
    called([*KPLAN, "apply", str(path), "--yes", "--quiet"], folder)
    taken = compared(lambda: called([*KPLAN, "plan", str(path)], folder),
                     lambda: bench.floor("plan", bench.kafka.bootstrap, "beside."))  # fmt: skip
    yield _figure(f"plan of {SIZES[0]:,} topics beside a stack of {SIZES[-1]:,}",
                  "bare client: metadata and configs of the same topics", taken, None)  # fmt: skip


def _growth(taken: dict[int, Comparison], look: Callable[[], str]) -> Iterator[Figure]:
    few, many = SIZES[-1] // 10, SIZES[-1]
    if few not in taken:
        return
    goal = 11.0 * many / few / 10
    for name, less, more in (("kplan", taken[few].ours, taken[many].ours),
                             ("the bare client", taken[few].floor, taken[many].floor)):  # fmt: skip
        yield Figure(f"growth of {name}, plan of {many:,} topics", f"plan of {few:,} topics",
                     more.seconds / less.seconds, _seconds(more), _seconds(less), goal if name == "kplan" else None,
                     more.processor / less.processor).explained(look)  # fmt: skip


def apply(bench: Bench) -> Iterator[Figure]:
    """First applies, each into a ledger of its own that is there already; the topics are taken away after each."""
    rounds = 0
    for answer in bench.admin.create_topics([NewTopic("bench-journal", 1, 1)]).values():
        answer.result(60)
    words = ("apply", "new.yaml", "--yes", "--brief")
    curve: dict[str, list[tuple[float, float]]] = {"kplan": [], "bare client": []}
    for size in [size for size in SIZES if size <= NEW]:

        def begun(size: int = size) -> Path:
            """A folder with a stack of so many new topics, and with a ledger that is there."""
            nonlocal rounds
            rounds += 1
            folder = bench.start_project(f"apply-{rounds}", f"__bench-{rounds}")
            (folder / "first.yaml").write_text("version: 1\nstack: first\ntopics: {new.first: }\n")
            bench.stack("new", size, "new.t", folder.name)
            called([*KPLAN, "apply", "first.yaml", "--yes", "--quiet"], folder)
            return folder

        def ended(found: T) -> T:
            bench.forget("new.")
            bench.forget("__bench-")
            return found

        def ours() -> Sample:
            return ended(called([*KPLAN, *words], begun()))

        def least(size: int = size) -> Sample:
            return ended(bench.floor("apply", bench.kafka.bootstrap, "bench-journal", "new.t", size))

        def look() -> str:
            return ended(bench.where(*words, folder=begun())())

        taken = compared(ours, least)
        curve["kplan"].append((size, taken.ours.seconds))
        curve["bare client"].append((size, taken.floor.seconds))
        yield _figure(f"first apply of {size:,} topics, journal in Kafka", "bare client with the same duties",
                      taken, 1.3 if size == NEW else None, look, SAFELY)  # fmt: skip
    bench.curves["apply"] = dict(curve)


def access(bench: Bench) -> Iterator[Figure]:
    """First applies of bindings by a super user; what they made is taken away after each."""
    at = bench.guarded.bootstrap
    admin = AdminClient({"bootstrap.servers": at})
    anything: Any = None
    all_bindings = AclBindingFilter(ResourceType.ANY, anything, ResourcePatternType.ANY, anything, anything,
                                    AclOperation.ANY, AclPermissionType.ANY)  # fmt: skip
    number = iter(range(1_000_000))
    for answer in admin.create_topics([NewTopic("bench-state", 1, 1)]).values():
        answer.result(60)

    def ended(found: T) -> T:
        for answer in admin.delete_acls([all_bindings]).values():
            answer.result(60)
        while admin.describe_acls(all_bindings).result(60):
            time.sleep(0.1)
        return found

    def begun() -> Sequence[object]:
        name = f"b{next(number)}"
        text = "".join(
            f"  User:{name}.u{who}: {{produce: [{', '.join(f'{name}.t{who}.{each}' for each in range(10))}]}}\n"
            for who in range(BINDINGS // 10)
        )
        (bench.folder / f"{name}.yaml").write_text(f"version: 1\nstack: {name}\naccess:\n{text}")
        return "apply", f"{name}.yaml", "--yes", "--brief", "--bootstrap", at

    def least() -> Sample:
        return ended(bench.floor("access", at, "bench-state", f"f{next(number)}.", BINDINGS))

    taken = compared(lambda: ended(bench.kplan(*begun())), least)
    yield _figure(f"first apply of {BINDINGS:,} bindings of {BINDINGS // 10} principals",
                  "bare client with the same duties: lock, journal, create, two readings that agree", taken, 1.5,
                  lambda: ended(bench.where(*begun())()))  # fmt: skip


def subjects(bench: Bench) -> Iterator[Figure]:
    """Plans of subjects that are as declared, each with a file of its own."""
    folder = bench.folder / "subjects"
    folder.mkdir()
    fields = [{"name": f"field{number}", "type": "string"} for number in range(10)]
    lines = []
    for number in range(SUBJECTS):
        schema = {"type": "record", "name": f"Record{number}", "fields": fields}
        (folder / f"bench.s{number}-value.avsc").write_text(json.dumps(schema, indent=1))
        lines.append(
            f"  bench.s{number}-value: {{file: subjects/bench.s{number}-value.avsc, compatibility: BACKWARD}}\n"
        )
    (bench.folder / "subjects.yaml").write_text(f"version: 1\nstack: subjects\nschemas:\n{''.join(lines)}")
    with Registry() as registry:
        here = {
            "kafka": {"bootstrap.servers": bench.kafka.bootstrap},
            "schema_registry": {"url": registry.url},
            "state": {"sqlite": "subjects.db"},
        }
        (bench.folder / "kplan.yaml").write_text(json.dumps({"version": 1, "environments": {"here": here}}))
        try:
            bench.kplan("apply", "subjects.yaml", "--env", "here", "--yes", "--brief")
            asked = ("plan", "subjects.yaml", "--env", "here", "--brief")
            taken = compared(lambda: bench.kplan(*asked), lambda: bench.floor("subjects", registry.url, folder))
            yield _figure(f"plan of {SUBJECTS:,} unchanged subjects",
                          "bare client: one list, then lookups and levels, 16 at a time", taken, 2.0,
                          bench.where(*asked))  # fmt: skip
        finally:
            (bench.folder / "kplan.yaml").unlink()


# -- connectors -------------------------------------------------------------------------------------------------------
def connectors(bench: Bench) -> Iterator[Figure]:
    """A plan of connectors that all run as declared, each with a task that waits for lines of an empty file."""
    at = ("--bootstrap", bench.kafka.bootstrap, "--connect", bench.connect.url)
    path = _write_connectors(bench, "connectors", CONNECTORS)
    bench.kplan("apply", path, "--yes", "--brief", *at)
    taken = compared(lambda: bench.kplan("plan", path, *at), lambda: bench.floor("connectors", bench.connect.url))
    yield _figure(f"plan of {CONNECTORS} connectors, no changes", "`requests`, click and yaml, and one GET of all",
                  taken, 1.5, bench.where("plan", path, *at), BOTH)  # fmt: skip
    bench.remove_connectors()


def create_connectors(bench: Bench) -> Iterator[Figure]:
    """First applies of connectors, which end when all tasks run; both wait for it. All are taken away after each."""
    config = json.dumps({"connector.class": LINES, "file": "/dev/null", "topic": "lines", "tasks.max": "1"})
    at = ("--bootstrap", bench.kafka.bootstrap, "--connect", bench.connect.url)
    names = (f"n{number}" for number in range(1_000_000))

    def ended(found: T) -> T:
        bench.remove_connectors()
        return found

    for count, rounds in ((FEW_CONNECTORS, 5), (CONNECTORS, 1)):

        def ours(count: int = count) -> Sample:
            return ended(bench.kplan("apply", _write_connectors(bench, next(names), count), "--yes", "--brief", *at))

        def least(count: int = count) -> Sample:
            return ended(bench.floor("create_connectors", bench.connect.url, next(names), count, PARALLEL, config))

        def look(count: int = count) -> str:
            words = ("apply", _write_connectors(bench, next(names), count), "--yes", "--brief", *at)
            return ended(bench.where(*words)())

        taken = compared(ours, least, rounds, warm=rounds > 1)
        yield _figure(f"first apply of {count} connectors", f"PUT of all, {PARALLEL} at a time, until all tasks run",
                      taken, 1.2, look if rounds > 1 else str, HELD)  # fmt: skip


def _write_connectors(bench: Bench, name: str, count: int) -> Path:
    block = f"{{class: {LINES}, config: {{file: /dev/null, topic: lines, tasks.max: 1}}}}"
    path = bench.folder / f"{name}.yaml"
    path.write_text(f"version: 1\nstack: {name}\nconnectors:\n"
                    + "".join(f"  {name}-{number:03}: {block}\n" for number in range(count)))  # fmt: skip
    return path


def distance(bench: Bench) -> Iterator[Figure]:
    """What 30 ms more to the broker add to a plan, in round trips: what is asked in sequence counts."""
    size, port = NEW, free_port()
    path = bench.stack("far", size, "far.")
    kafka = KafkaCluster(properties={"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}", **PATIENT}, heap=HEAP)
    with DelayingProxy(port, kafka.brokers[1].port) as proxy, kafka:
        at = ("--bootstrap", f"127.0.0.1:{port}")
        bench.kplan("apply", path, "--yes", "--quiet", *at)

        def planned(seconds: float) -> Sample:
            proxy.seconds = seconds
            return bench.kplan("plan", path, *at)

        taken = compared(lambda: planned(DELAY), lambda: planned(0.0))
    trips = (taken.ours.seconds - taken.floor.seconds) / DELAY
    yield Figure(f"round trips of a plan of {size:,} topics, by what {DELAY * 1000:.0f} ms of delay add",
                 "the same without delay", trips, _seconds(taken.ours), _seconds(taken.floor), 12.0)  # fmt: skip


def history(bench: Bench) -> Iterator[Figure]:
    """Plans after many runs against plans after three, each with a state of its own.

    Brokers keep what is removed for ten minutes, and do not compact what they wrote in the last ten seconds. A second
    is set here, and pauses before the last runs let them compact: so the topic is as it is some time after the runs.
    """
    folders = [_write_history(bench, runs) for runs in (RUNS, 3)]
    many, few = (lambda folder=folder: called([*KPLAN, "plan", "few.yaml", "--brief"], folder) for folder in folders)
    taken = compared(many, few)
    yield _figure(f"plan after {RUNS:,} runs of 5 topics", "plan after 3 runs", taken, 1.1,
                  bench.where("plan", "few.yaml", "--brief", folder=folders[0]))  # fmt: skip


def _write_history(bench: Bench, runs: int) -> Path:
    """Return a folder with a stack that was applied so often, each time with another setting."""
    topic = f"__runs-{runs}"
    folder = bench.start_project(topic.strip("_"), topic)
    settings = {**SETTINGS, "delete.retention.ms": "1000"}
    bench.admin.create_topics([NewTopic(topic, 1, 1, config=settings)])[topic].result(60)
    last, pause = (SETTLING_RUNS, SETTLING_S) if runs > SETTLING_RUNS else (0, 0.0)
    called([*PYTHON, HISTORY, str(runs), str(last), str(pause)], folder)
    return folder


def large(bench: Bench) -> Iterator[Figure]:
    """A plan of very many new topics on the simulation, with three reports and without."""
    path = bench.stack("large", HUGE, "large.")
    reports = [word for kind in ("md", "html", "json") for word in ("--report", f"{kind}={bench.folder}/large.{kind}")]
    quiet = ("--quiet",)
    taken = compared(lambda: bench.kplan("plan", path, *quiet, *reports), lambda: bench.kplan("plan", path, *quiet), 3)
    yield _figure(f"plan of {HUGE:,} new topics, simulated, with md, html and json", "the same without reports", taken,
                  1.3, bench.where("plan", path, *quiet, *reports), RENDERED)  # fmt: skip
    yield Figure("its peak memory", f"{MOST_MEMORY} MiB", taken.ours.peak / MOST_MEMORY, f"{taken.ours.peak:.0f} MiB",
                 f"{MOST_MEMORY} MiB", 1.0)  # fmt: skip


# -- what needs no server ---------------------------------------------------------------------------------------------
def views(bench: Bench) -> Iterator[Figure]:
    path = bench.stack("views", MANY, "views.")
    command = [sys.executable, "-m", "tests.bench.views", str(path), "5"]
    said = subprocess.run(command, cwd=bench.folder, env=environment(), capture_output=True, text=True, check=True)
    found = json.loads(said.stdout)
    for kind in ("text", "md", "html", "json"):
        yield Figure(f"view `{kind}` of {found['changes']:,} changes", "computing the plan, without servers",
                     found[kind] / found["computing"], f"{found[kind]:.2f} s", f"{found['computing']:.2f} s",
                     0.4)  # fmt: skip


def files(bench: Bench) -> Iterator[Figure]:
    """The same topics in one file, and in a thousand files with ten topics each."""
    one = bench.stack("one", MANY, "files.")
    folder = bench.folder / "thousand"
    folder.mkdir()
    for number in range(MANY // 10):
        bench.stack(f"s{number:04}", 10, f"files.s{number:04}.", folder.name)
    taken = compared(lambda: bench.kplan("validate", folder), lambda: bench.kplan("validate", one), 3)
    yield _figure(f"`kplan validate`, {MANY:,} topics in {MANY // 10:,} files", "the same in one file", taken, None)


# -- other tools ------------------------------------------------------------------------------------------------------
def peers(bench: Bench) -> Iterator[Figure]:
    """kplan beside the other tools that this machine has: a figure for each job, against the fastest of them."""
    folder = bench.folder / "peers"
    folder.mkdir()
    arena, table = Arena(folder, bench.kafka.bootstrap, bench.admin, bench.tools), bench.sides
    arena.read_versions(table)
    arena.compare_starts(table)
    arena.compare_plans(table, [size for size in SIZES if size <= NEW])
    for size in [size for size in SIZES if size <= NEW]:
        arena.compare_changes(table, size, ["create", "change", "destroy"] if size == CHANGED else ["create"])
    if any("connectors-create" in peer.jobs for peer in table.peers[1:]):
        arena.compare_connectors(
            table, bench.connect.url, lambda: list(bench.connect.request("GET", "/connectors")),
            lambda name: bench.connect.request("DELETE", f"/connectors/{name}"),
        )  # fmt: skip
    for job, cells in table.cells.items():
        name, ours = table.find_fastest(job), cells.get("kplan", Cell())
        if name is None or not ours.seconds:
            continue
        theirs = cells[name]
        ratio = statistics.median(a / b for a, b in zip(ours.seconds, theirs.seconds, strict=True))
        goal = 1.0 if job.split()[0] in ("create", "change", "destroy") and "connectors" not in job else None
        figure = Figure(
            job, f"{name}, the fastest other tool", ratio, f"{ours.median:.3f} s", f"{theirs.median:.3f} s", goal,
            more=UNGUARDED,
        )  # fmt: skip
        yield figure.explained(partial(_profile_create, bench, job))
    for word in ("plan", "create"):
        bench.curves[f"peers-{word}"] = _draw_sizes(table, word)


def _profile_create(bench: Bench, job: str) -> str:
    """Return where kplan's time goes in a job that creates topics; empty for another one."""
    match job.split():
        case ["create", size, "topics"]:
            path = bench.stack("own", int(size.replace(",", "")), "own.")
            try:
                return bench.where("apply", path, "--yes", "--brief", "--bootstrap", bench.kafka.bootstrap)()
            finally:
                bench.forget("own.")
    return ""


def _draw_sizes(table: Sides, word: str) -> dict[str, Points]:
    """Return the points of each tool: topics and seconds of the jobs that begin with this word."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for job, cells in table.cells.items():
        match job.split():
            case [first, size, "topics"] if first == word:
                for name, cell in cells.items():
                    if cell.seconds:
                        curves.setdefault(name, []).append((int(size.replace(",", "")), cell.median))
    return dict(curves)


ROWS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "start": start,
    "validate": validate,
    "views": views,
    "files": files,
    "apply": apply,
    "peers": peers,
    "access": access,
    "subjects": subjects,
    "connectors": connectors,
    "create": create_connectors,
    "large": large,
    "distance": distance,
    "history": history,
    "plan": plan,  # the last: it leaves many topics behind
}
