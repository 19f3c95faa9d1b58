"""A catalogue has everything that the stacks declare, with owners, neighbours and what is about it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from kplan.app.load import load_stacks, refuse_errors
from kplan.app.runtime import Runtime
from kplan.inspect.catalogue import CatalogueEntry, list_entries
from kplan.model import Target
from kplan.model.masks import Mask
from kplan.project.loading import Request

STACK = """\
version: 1
stack: shop
team: web
variables: {password: {default: a-secret-of-the-catalogue, sensitive: true}}
topics:
  shop.audit: {description: Who did what, labels: {tier: gold}, config: {retention.ms: 90d}}
  shop.other:
connectors:
  cdc:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.password }}"}
    tables: [orders]
schemas:
  shop.audit-value: {type: json, text: '{"type": "object", "title": "Audited"}'}
access:
  User:reports: {consume: {topics: [shop.audit, "shop.public.*"], group: reports}}
"""


def entries(folder: Path) -> dict[str, CatalogueEntry]:
    (folder / "stack.yaml").write_text(STACK)
    runtime = Runtime(Mask(), lambda: datetime.now(UTC))
    request = Request(
        paths=(str(folder / "stack.yaml"),), folder=str(folder), process={**os.environ}, offline_target=Target()
    )
    loaded = load_stacks(request, runtime)
    refuse_errors(loaded)
    return {entry.address: entry for entry in list_entries(loaded.stacks)}


def test_each_resource_has_its_owner_its_place_and_what_it_is_connected_with(tmp_path: Path) -> None:
    found = entries(tmp_path)
    audit = found["topic/shop.audit"]
    assert (audit.team, audit.labels, audit.description) == ("web", {"tier": "gold"}, "Who did what")
    assert audit.place and audit.place[1] == 6
    assert audit.fields["config"]["retention.ms"] == "7776000000"
    orders = found["topic/shop.public.orders"]
    assert orders.fed_by == ["connector/cdc"]
    assert found["connector/cdc"].fed_by == ["table/db:5432/shop public.orders"]
    assert found["table/db:5432/shop public.orders"].stack == ""


def test_access_and_schemas_are_with_their_topics_and_with_no_other(tmp_path: Path) -> None:
    found = entries(tmp_path)
    related = found["topic/shop.audit"].related
    assert "subject/shop.audit-value" in related
    assert "acl/User:reports/allow/Read/topic/shop.audit" in related
    assert not [address for address in related if "shop.public" in address or "group" in address]
    assert found["topic/shop.public.orders"].related == ["acl/User:reports/allow/Read/topic-prefix/shop.public."]
    assert found["topic/shop.other"].related == []
    assert '"Audited"' in found["subject/shop.audit-value"].text


def test_kinds_are_in_their_order_and_tables_last(tmp_path: Path) -> None:
    kinds = list(dict.fromkeys(entry.kind for entry in entries(tmp_path).values()))
    assert kinds[:2] == ["topic", "connector"] and kinds[-1] == "table"
