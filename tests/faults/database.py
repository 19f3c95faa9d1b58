"""A database that ends while an apply is on its way, and runs again when the apply has ended.

The stack under trial has Debezium connectors, whose topics come from their tables. The apply creates one, adds a table
to another one, deletes a third, and creates and changes topics. Connect and the database judge its plan.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.judging import RECOVER
from tests.faults.proxy import Fault, Request
from tests.faults.running import kplan
from tests.faults.world import FLAGS, Scene, World
from tests.services import MariaDB, Postgres

POSTGRES, MARIADB = "PostgreSQL", "MariaDB"
NAME = "shop"
TABLES = ("orders", "customers")
ONLINE = tuple(flag for flag in FLAGS if flag != "--offline")
SERVER_IDS = {"changed": 7001, "gone": 7002, "new": 7003}  # else made of a name, which is another in each world
SETTLE_S = 25.0
Wanted = Callable[[Request], bool]


# -- the database and the stack on it ---------------------------------------------------------------------------------
@dataclass
class Database:
    """A server with the tables of the trial. `given` is a file with the values of the stack's variables."""

    server: Postgres | MariaDB
    given: Path
    is_down: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self) -> None:
        """Create the tables, and write the file of variables."""
        if isinstance(self.server, Postgres):
            execute: Callable[[str], object] = self.server.database(NAME).execute_as_user
        else:
            self.server.database(NAME)
            execute = self.server.execute
        for table in TABLES:
            execute(f"CREATE TABLE {self.namespace}.{table} (id int PRIMARY KEY)")
        self.given.write_text(json.dumps({"password": self.server.password}))

    @property
    def namespace(self) -> str:
        return "public" if isinstance(self.server, Postgres) else NAME

    @property
    def place(self) -> str:
        return f"{self.server.host}:{self.server.port}"

    def kill(self) -> None:
        with self.turn:
            self.is_down = True
            self.server.kill()

    def stop(self) -> None:
        with self.turn:
            self.is_down = True
            self.server.stop()

    def start(self) -> None:
        with self.turn:
            if self.is_down:
                self.server.start()
            self.is_down = False


@contextmanager
def started(engine: str, folder: Path) -> Iterator[Database]:
    """A database of `engine`, with its tables."""
    with Postgres() if engine == POSTGRES else MariaDB() as server:
        database = Database(server, folder / "given.json")
        database.prepare()
        yield database


def scene(database: Database, bootstrap: str) -> Scene:
    """The stack before and after. The brokers at `bootstrap` hold the schema history."""
    given = ("--var-file", str(database.given))
    head = "version: 1\nstack: P\nvariables: {password: {type: string, sensitive: true}}\n"
    first = _connector(database, bootstrap, "changed", TABLES[:1])
    before = f"{head}topics:\n  P.config: {{config: {{retention.ms: 1d}}}}\nconnectors:\n{first}"
    before += _connector(database, bootstrap, "gone", TABLES[1:])
    after = f"{head}topics:\n  P.config: {{config: {{retention.ms: 2d}}}}\n  P.one:\nconnectors:\n"
    after += _connector(database, bootstrap, "changed", TABLES) + _connector(database, bootstrap, "new", TABLES[:1])
    after += "removed:\n  - {connector: P-gone}\n"
    kept = [f"P.gone.{database.namespace}.{TABLES[1]}", "P.beats.P.gone"]
    kept += [] if isinstance(database.server, Postgres) else ["P.gone", "P.history.gone"]
    after += "".join(f"  - {{topic: {topic}, keep: true}}\n" for topic in kept)
    recover = (*given, "--accept", "delete:topic/P.*")  # heartbeats and schema changes are records
    flags, commits = (*ONLINE, *given), ("changed", "gone")
    return Scene(before, after, flags, commits=commits, given=given, recover=recover, settle=SETTLE_S)


def _connector(database: Database, bootstrap: str, name: str, tables: tuple[str, ...]) -> str:
    server = database.server
    login = f'hostname: "{server.host}", port: {server.port}, name: {NAME}, user: {server.user}'
    config = {"topic.heartbeat.prefix": "P.beats"}
    more = ""
    if isinstance(server, MariaDB):
        config["schema.history.internal.kafka.topic"] = f"P.history.{name}"
        more = f'    history_bootstrap: "{bootstrap}"\n    server_id: {SERVER_IDS[name]}\n'
    return (
        f"  P-{name}:\n    template: debezium-{'postgres' if isinstance(server, Postgres) else 'mariadb'}\n"
        f"    topic_prefix: P.{name}\n    heartbeat: 500\n    retry: {{wait: 1000, max_delay: 2000}}\n"
        f'    database: {{{login}, password: "{{{{ var.password }}}}"}}\n    tables: [{", ".join(tables)}]\n'
        f"    config: {json.dumps(config)}\n{more}"
    )


# -- when it ends -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Moment:
    """The database ends just before a request passes that `wanted()` finds; without it, before kplan starts."""

    name: str
    wanted: Callable[[], Wanted] | None = None
    skip: int = 0
    says_place: bool = False  # whether kplan can know which database it is

    def __str__(self) -> str:
        return self.name


def sent(method: str, last: str) -> Callable[[], Wanted]:
    """A request with that method and that end of its path."""
    return lambda: lambda request: request.method == method and request.path.rpartition("/")[2] == last


def following(first: Callable[[], Wanted], then: Callable[[], Wanted]) -> Callable[[], Wanted]:
    """A request that `then` finds, after one that `first` found."""

    def build() -> Wanted:
        is_first, is_then = first(), then()
        seen: list[Request] = []

        def wanted(request: Request) -> bool:
            if is_first(request):
                seen.append(request)
            return bool(seen) and is_then(request)

        return wanted

    return build


def named(api: str) -> Callable[[], Wanted]:
    return lambda: lambda request: request.method == api


VALIDATED, POSTED, LOOKED = sent("PUT", "validate"), sent("POST", "connectors"), sent("GET", "connectors")
MOMENTS = (
    Moment("before the plan", says_place=True),
    Moment("in the plan, as Connect judges it", VALIDATED, says_place=True),
    Moment("after the plan", following(VALIDATED, named("EndTxn"))),
    Moment("in the wave of topics", following(named("EndTxn"), named("CreateTopics"))),
    Moment("before a connector gets a table", sent("PUT", "config")),
    Moment("before a connector is created", POSTED),
    Moment("after a connector was created", following(POSTED, LOOKED)),
    Moment("while connectors are waited for", following(POSTED, LOOKED), 4),
    Moment("before a connector is deleted", following(POSTED, sent("DELETE", "offsets"))),
)


def of(world: World) -> Database:
    """The database of the stage that the world is on."""
    database = world.lane.stage.database
    assert database is not None
    return database


def place_of(world: World) -> str:
    """The address by which a message is to name the database."""
    return of(world).place


def end(moment: Moment, how: Callable[[Database], None], world: World) -> None:
    """Let the world's database come to its end at that moment."""
    database = of(world)
    if moment.wanted is None:
        how(database)
    else:
        world.lane.spoil(Fault("pass", moment.wanted(), skip=moment.skip, hit=lambda request: how(database)))


def kill_for_a_moment(database: Database) -> None:
    """Kill it, and start it again in the background."""
    database.kill()
    threading.Thread(target=database.start).start()


def mend(world: World) -> None:
    """Start the database, and what it made fail."""
    of(world).start()
    restart_failed(world)


def recover_too_early(world: World) -> None:
    """Recover while the database is still down; kplan may claim no end of a run that it has not ended."""
    if world.store.open_runs():
        early = kplan(world.machine(), *RECOVER, *world.recover)
        assert early.code == (8 if world.store.open_runs() else 0), early.out
    mend(world)


def restart_failed(world: World) -> None:
    """Restart failed tasks, as an operator would: a Debezium task does not always outlive its database."""
    stage = world.lane.stage
    for name in stage.ask("GET", "/connectors").json():
        if name.startswith(f"{world.prefix}-"):
            stage.ask("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")
