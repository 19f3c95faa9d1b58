"""What no two connectors may share: slots, server ids, publications, prefixes; with and without templates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Diagnostic
from kplan.kinds.connector.exclusive import unique, unique_offline
from kplan.model import Address, Connector, Live
from tests.unit.kinds.connector.test_expansion import block, connector, expanded, told

RAW: Mapping[str, str] = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "topic.prefix": "p",
    "database.hostname": "h",
    "database.dbname": "shop",
    "slot.name": "s",
    "table.include.list": r"public\.t",
    "snapshot.mode": "initial",
}
MADE: Mapping[str, Any] = {"p.public.t": None, "p.heartbeat": None}


def raw(**config: str) -> dict[str, Any]:
    return {"config": {**RAW, **{key.replace("_", "."): value for key, value in config.items()}}}


def shared(folder: Path, *blocks: Mapping[str, Any]) -> list[Diagnostic]:
    stack = expanded(folder, *blocks, topics={"q.public.t": None, **MADE})
    return unique_offline([stack])


def two(template: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two connectors that have nothing in common but what is given."""
    return [block(template, **first), {**block(template, **second), "topic_prefix": "q"}]


def at(host: str, **more: Any) -> dict[str, Any]:
    return {"database": {"hostname": host, **more}, "tables": ["t"]}


@pytest.mark.parametrize(
    ("template", "key", "own"),
    [("debezium-postgres", "slot.name", {"slot": "s"}), ("debezium-mysql", "database.server.id", {"server_id": 7})],
)
def test_a_slot_and_a_server_id_are_taken_once_on_each_server(
    template: str, key: str, own: Mapping[str, Any], tmp_path: Path
) -> None:
    def clash(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
        stack = expanded(tmp_path, *two(template, {**first, **own}, {**second, **own}))
        return [d.detail.split()[0] for d in unique_offline([stack])]

    assert clash(at("h"), at("h")) == clash(at("h"), at("H")) == [key]
    assert clash(at("h", name="a"), at("h", name="b")) == [key]
    assert clash(at("h"), at("other")) == clash(at("h"), at("h", port=15432)) == []
    assert clash(at("h"), at("${env:HOST}")) == [key]


def filtered(tables: list[str], host: str = "h", mode: str = "filtered", name: str = "shop") -> dict[str, Any]:
    database = {"hostname": host, "name": name}
    return {"publication": "pub", "publication_mode": mode, "tables": tables, "database": database}


@pytest.mark.parametrize(
    ("first", "second", "clashes"),
    [
        (filtered(["a"]), filtered(["b"]), True),
        (filtered(["a"]), filtered(["b"], mode="disabled"), True),
        (filtered(["a"], mode="disabled"), filtered(["b"], mode="disabled"), False),
        (filtered(["a"]), filtered(["a"]), False),
        (filtered(["a"]), filtered(["b"], "other"), False),
        (filtered(["a"]), filtered(["b"], name="stock"), False),
    ],
)
def test_a_publication_that_one_connector_sets_to_its_own_tables_is_not_shared(
    first: Mapping[str, Any], second: Mapping[str, Any], clashes: bool, tmp_path: Path
) -> None:
    found = unique_offline([expanded(tmp_path, *two("debezium-postgres", first, second))])
    assert [d.is_error for d in found] == ([True] if clashes else [])
    assert all("publication.name pub" in d.detail and "tables" in d.detail for d in found)


def test_connectors_without_a_template_share_nothing_either(tmp_path: Path) -> None:
    found = shared(tmp_path, raw(), raw())
    assert [d.detail.split(":")[0] for d in found] == ["topic.prefix p", "slot.name s"]
    assert not shared(tmp_path, raw(), raw(topic_prefix="q", slot_name="other"))


def test_those_that_run_so_already_are_adopted_with_a_warning(tmp_path: Path) -> None:
    stack = expanded(tmp_path, raw(), raw(), topics=MADE)
    both = {a: r for a, r in stack.resources.items() if isinstance(r, Connector)}
    assert {d.is_error for d in unique_offline([stack])} == {False}
    assert {d.is_error for d in unique(stack, Live(resources=both), ())} == {False}
    del both[Address("connector", "c1")]
    assert {d.is_error for d in unique(stack, Live(resources=both), ())} == {True}


def test_a_connector_without_a_template_shows_by_a_declared_heartbeat_that_it_works(tmp_path: Path) -> None:
    beating = raw(heartbeat_interval_ms="1000", topic_heartbeat_name="p.heartbeat")
    assert connector(expanded(tmp_path, beating, topics=MADE)).heartbeat == "p.heartbeat"
    assert connector(expanded(tmp_path, raw(), topics=MADE)).heartbeat == ""
    unknown = raw(heartbeat_interval_ms="1000", topic_heartbeat_name="elsewhere")
    (problem,) = told(tmp_path, unknown, topics=MADE)
    assert (problem.code, problem.is_error) == ("K226", False) and "elsewhere" in problem.detail


def test_an_old_snapshot_mode_is_told_and_sent_as_it_is_written(tmp_path: Path) -> None:
    own = raw(snapshot_mode="schema_only")
    (problem,) = told(tmp_path, own, topics=MADE)
    assert (problem.code, problem.is_error) == ("K217", False) and "no_data" in problem.detail
    assert problem.span is not None
    line = (tmp_path / "stack.yaml").read_text().splitlines()[problem.span.line - 1]
    assert "snapshot.mode: schema_only" in line
