"""What MySQL and MariaDB have in common: Debezium reads both through their binary log.

What it must be like: io.debezium.connector.binlog.BinlogConnectorTask, and "Setting up MySQL" in Debezium's manual.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from kplan.diagnostics import Diagnostic, codes
from kplan.kinds.connector.debezium.common_settings import HISTORY_RISK, SAME_SOURCE
from kplan.kinds.connector.debezium.database_problems import database_error
from kplan.kinds.connector.debezium.engine import (
    CapturedTables,
    DatabaseAccess,
    DatabaseQuestion,
    DropRules,
    Relation,
    SettingRisk,
)
from kplan.kinds.connector.debezium.table_names import TableNames, home_by_lists
from kplan.values import dataclass

SERVER_ID = "database.server.id"
REQUIRED = ("topic.prefix", "database.hostname", "database.user", SERVER_ID)
LISTS = ("table", "database")


@dataclass(frozen=True, slots=True, eq=False)
class BinlogState:
    """MySQL or MariaDB as it was found. `missing` are privileges that the user surely has not."""

    relations: tuple[Relation, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def check_binlog(
    question: DatabaseQuestion, state: BinlogState, tables: CapturedTables, new_slots: int
) -> Iterator[Diagnostic]:
    """Yield what of the server and of the user's privileges keeps a new connector from reading the binary log."""
    if not question.fresh:
        return
    login, at = question.login, question.connector.origin
    host = at.at("/config/database.hostname")
    for key, good, cure in (
        ("log_bin", ("1", "ON"), "start the server with log_bin"),
        ("binlog_format", ("ROW",), "SET GLOBAL binlog_format = ROW;"),
        ("binlog_row_image", ("FULL",), "SET GLOBAL binlog_row_image = FULL;"),
    ):
        value = state.settings.get(key, good[0])
        if value.upper() not in good:
            yield database_error(question, codes.K324, f"{key} of {login.host}:{login.port} is {value}", cure, host)
    own_id, server_id = question.text(SERVER_ID, ""), state.settings.get("server_id", "")
    if server_id == "0":
        yield database_error(question, codes.K324, f"server_id of {login.host}:{login.port} is 0: it refuses replicas",
                             "SET GLOBAL server_id = 1;", host)  # fmt: skip
    elif own_id and own_id == server_id:
        yield database_error(question, codes.K324, f"{SERVER_ID} {own_id} is the server's own",
                             "give it another `server_id:`", at.at(f"/config/{SERVER_ID}"))  # fmt: skip
    for right in state.missing:
        grant = f"GRANT {right} ON *.* TO {login.user};"
        yield database_error(
            question, codes.K323, f"{login.user} has no {right}", grant, at.at("/config/database.user")
        )


# The binary log is not kept for a connector: it expires by the server's own settings, so that there is nothing to drop.
NOTHING_TO_DROP = DropRules()
RISKS = {SERVER_ID: SettingRisk(codes.K418, "another replica of the same number is disconnected by the server")}
RISKS |= HISTORY_RISK
NAMES = TableNames(home_by_lists("table.include.list"))
ACCESS = DatabaseAccess(
    extra="mysql",
    ssl_setting="database.ssl.mode",
    source_settings=frozenset({*SAME_SOURCE, SERVER_ID}),
    check_server=check_binlog,
)
