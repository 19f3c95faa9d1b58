"""Which properties of a connector are unknown to its plugin."""

from __future__ import annotations

from kplan.servers.connect.check import find_unknown_properties

LISTED = frozenset(("iceberg.tables", "iceberg.control.topic"))


def test_what_icebergs_sink_hands_on_is_not_unknown() -> None:
    config = {
        "iceberg.catalog.s3.endpoint": "http://minio:9000",
        "iceberg.hadoop.fs.defaultFS": "hdfs://a",
        "iceberg.table.shop.orders.id-columns": "id",
        "iceberg.tables.auto-create-props.format-version": "2",
    }
    assert not list(find_unknown_properties(config, LISTED))


def test_a_misspelt_setting_of_icebergs_sink_is_unknown() -> None:
    found = list(find_unknown_properties({"iceberg.tabels": "a", "warehouse": "b"}, LISTED))
    assert found == [("iceberg.tabels", "iceberg.tables"), ("warehouse", "")]
