"""Real Kafka, Connect, PostgreSQL, MariaDB and a browser for tests.

Each service is a process of its own on a free loopback port, with its files in a new folder under the system's
temporary folder. It is killed by its process id when it is closed, when pytest ends and when pytest dies.

    with KafkaCluster() as kafka, ConnectWorker(kafka.bootstrap, plugin_path()) as connect:
        ...

Tests take the session's own ones by the fixtures `kafka`, `connect`, `postgres`, `mariadb` and `browser` (fixtures.py).
They share them, so a test names its topics, connectors and databases after itself. A test that kills, restarts
or configures a service makes its own as above.

What is needed: Java 17 or later, Maven, the server programs of PostgreSQL and MariaDB, and Chromium with its
ChromeDriver. Where one is missing the fixture skips the test and says how to install it; with
KPLAN_REQUIRE_SERVICES=1 it fails. Maven's downloads are kept in $KPLAN_TEST_CACHE (downloads.py).

| file         | holds                                                                       |
|--------------|-----------------------------------------------------------------------------|
| process.py   | a running program, its log, its end; free ports; the two ways to fail       |
| downloads.py | the jars (pom.xml) and the Debezium plugins (plugins.xml) in the cache      |
| kafka.py     | `Broker`, `KafkaCluster`                                                    |
| connect.py   | `ConnectWorker`                                                             |
| postgres.py  | `Postgres`, `PostgresDatabase`                                              |
| mariadb.py   | `MariaDB`                                                                   |
| browser.py   | `Browser`: a headless Chromium with its ChromeDriver                        |
| fixtures.py  | the pytest fixtures, which start what the chosen tests need at the same time |
"""

from tests.services.browser import Browser
from tests.services.connect import ConnectWorker
from tests.services.downloads import kafka_jars, plugin_path
from tests.services.kafka import Broker, KafkaCluster
from tests.services.mariadb import MariaDB
from tests.services.postgres import Postgres, PostgresDatabase
from tests.services.process import ServiceFailed, ServiceMissing

__all__ = [
    "Broker",
    "Browser",
    "ConnectWorker",
    "KafkaCluster",
    "MariaDB",
    "Postgres",
    "PostgresDatabase",
    "ServiceFailed",
    "ServiceMissing",
    "kafka_jars",
    "plugin_path",
]
