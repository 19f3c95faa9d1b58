"""The session's services as pytest fixtures: `kafka`, `connect`, `postgres`, `mariadb`, `browser`.

When the first test that needs a service is about to run, everything that the chosen tests need is started at the
same time in the background; each fixture waits for its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NoReturn, TypeVar, cast

import pytest

from tests.services.browser import Browser
from tests.services.connect import ConnectWorker
from tests.services.downloads import converter_path, iceberg_path, plugin_path
from tests.services.kafka import KafkaCluster
from tests.services.mariadb import MariaDB
from tests.services.postgres import Postgres
from tests.services.process import Service, ServiceMissing, end_all
from tests.services.registry import Registry

S = TypeVar("S", bound=Service)
REQUIRE = "KPLAN_REQUIRE_SERVICES"


def without(reason: object) -> NoReturn:
    """The test cannot run on this machine: it fails where KPLAN_REQUIRE_SERVICES is set, and is skipped elsewhere."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason} ({REQUIRE}=1)", pytrace=False)
    pytest.skip(str(reason))


class SessionServices:
    """The services of one pytest session: each is started at most once, and all are closed at the end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(8, "services")
        self._started: dict[str, Future[Service]] = {}
        self._starts: dict[str, Callable[[], Service]] = {
            "kafka": lambda: KafkaCluster().__enter__(),
            "connect": self._start_connect,
            "postgres": lambda: Postgres().__enter__(),
            "mariadb": lambda: MariaDB().__enter__(),
            "browser": lambda: Browser().__enter__(),
            "registry": lambda: Registry().__enter__(),
        }

    def begin(self, *names: str) -> None:
        """The named services are being started, with the downloads and services that they need."""
        if "connect" in names:
            self._pool.submit(plugin_path)
            names = ("kafka", *names)
        for name in names:
            if name in self._starts and name not in self._started:
                self._started[name] = self._pool.submit(self._starts[name])

    def ready(self, name: str, kind: type[S]) -> S:
        """The service once it is up; the test is skipped (or fails, by KPLAN_REQUIRE_SERVICES) if it cannot be."""
        self.begin(name)
        try:
            return cast(S, self._started[name].result())
        except ServiceMissing as missing:
            reason = str(missing)
        without(reason)

    def needed_by(self, item: pytest.Item) -> set[str]:
        """The names of the services among the test's fixtures."""
        return self._starts.keys() & set(getattr(item, "fixturenames", ()))

    def close(self) -> None:
        """Everything that was started is gone, even what is still starting."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        starting = set(self._started.values())
        while starting:
            end_all()
            starting = wait(starting, timeout=0.1).not_done
        end_all()

    def _start_connect(self) -> ConnectWorker:
        plugins = self._pool.submit(plugin_path)
        kafka = self._started["kafka"].result()
        assert isinstance(kafka, KafkaCluster)
        properties = {"plugin.path": f"{plugins.result()},{converter_path()},{iceberg_path()}"}
        return ConnectWorker(kafka.bootstrap, plugins.result(), properties).__enter__()


SERVICES = pytest.StashKey[SessionServices]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVICES] = SessionServices()
    if AGAIN:
        config.option.rerun_show_tracebacks = True  # what failed first is what is to be found


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[SERVICES].close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of processes side by side two do the tests of the session's services, and begin with them: they take longest.

    Tests that start services of their own say in which group they are. With KPLAN_TEST_AGAIN a test that fails is run
    once more, and named at the end (`RERUN`) even if it passes then: that is a bug to be found, in it or in kplan.
    """
    for item in items:
        if name := _group(item, config.stash[SERVICES].needed_by(item)):
            item.add_marker(pytest.mark.xdist_group(name))
        if AGAIN:
            item.add_marker(pytest.mark.flaky(reruns=1))
    if hasattr(config, "workerinput"):  # one of several processes
        items.sort(key=lambda item: _turn(item.get_closest_marker("xdist_group")))


SHARED = "services"
BROKER = "broker"  # tests that need no other service of the session, by a second process with a broker of its own
AGAIN = bool(os.environ.get("KPLAN_TEST_AGAIN"))


def _group(item: pytest.Item, needs: set[str]) -> str:
    if item.get_closest_marker("xdist_group"):
        return ""
    if needs == {"browser"}:
        return "browser"
    known = getattr(item, "callspec", None)
    offline = known is not None and {"simulated", "sqlite", "confluent"} & {
        str(value) for value in known.params.values()
    }
    shared = needs or (item.path.parent.name in ("contract", "services") and not offline)
    return "" if not shared else BROKER if needs <= {"kafka"} else SHARED


def _turn(mark: pytest.Mark | None) -> int:
    return 2 if mark is None else int(mark.args[0] not in (SHARED, BROKER))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    services = item.config.stash[SERVICES]
    if services.needed_by(item):
        together = [each for each in item.session.items if _mark(each) == _mark(item)]  # by this process, then
        services.begin(*{name for each in together for name in services.needed_by(each)})


def _mark(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return "" if mark is None else str(mark.args[0])


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> KafkaCluster:
    """One broker, without automatic topics."""
    return pytestconfig.stash[SERVICES].ready("kafka", KafkaCluster)


@pytest.fixture(scope="session")
def connect(pytestconfig: pytest.Config) -> ConnectWorker:
    """One worker on `kafka` with the file, PostgreSQL, MariaDB and MySQL connectors."""
    return pytestconfig.stash[SERVICES].ready("connect", ConnectWorker)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Postgres:
    """A PostgreSQL server; a test makes its own database in it."""
    return pytestconfig.stash[SERVICES].ready("postgres", Postgres)


@pytest.fixture(scope="session")
def mariadb(pytestconfig: pytest.Config) -> MariaDB:
    """A MariaDB server; a test makes its own database in it."""
    return pytestconfig.stash[SERVICES].ready("mariadb", MariaDB)


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Browser:
    """A headless Chromium."""
    return pytestconfig.stash[SERVICES].ready("browser", Browser)


@pytest.fixture(scope="session")
def registry(pytestconfig: pytest.Config) -> Registry:
    """A schema registry; a test names its subjects after itself."""
    return pytestconfig.stash[SERVICES].ready("registry", Registry)
