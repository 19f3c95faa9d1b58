"""The module that reads an engine's databases, by engine; one for each that `Engine.access` describes."""

from __future__ import annotations

from collections.abc import Mapping

from kplan.kinds.connector.debezium.engine import Engine
from kplan.kinds.connector.debezium.engines.mariadb import MARIADB
from kplan.kinds.connector.debezium.engines.mysql import MYSQL
from kplan.kinds.connector.debezium.engines.postgres import POSTGRES
from kplan.servers.databases import mysql, postgres
from kplan.servers.databases.base import Driver, DroppingDriver

DRIVERS: Mapping[Engine, Driver] = {POSTGRES: postgres, MYSQL: mysql, MARIADB: mysql}
DROPPING_DRIVERS: Mapping[Engine, DroppingDriver] = {POSTGRES: postgres}
