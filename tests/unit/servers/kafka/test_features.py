"""Which service the brokers are, and what its requests are for."""

from __future__ import annotations

import pytest

from kplan.servers.kafka.features import FEATURES, find_service, read_known_requests


@pytest.mark.parametrize(
    ("host", "cluster_id", "name"),
    [
        ("team.servicebus.windows.net", "", "Azure Event Hubs"),
        ("pkc-1234.eu-west-1.aws.confluent.cloud", "lkc-1", "Confluent Cloud"),
        ("10.0.0.7", "redpanda.0f1d1f9e-8a43-4d5e-a0cd-0d9c6a7a4b2e", "Redpanda"),
        ("servicebus.windows.net.example.org", "QoGeIyCnQp6G29BSHsm6eQ", None),
    ],
)
def test_a_service_is_known_by_its_hosts_or_its_cluster(host: str, cluster_id: str, name: str | None) -> None:
    service = find_service([host], cluster_id)
    assert (service.name if service else None) == name


def test_each_request_belongs_to_one_feature() -> None:
    keys = [key for feature in FEATURES for key in feature.keys]
    assert len(keys) == len(set(keys))


def test_what_brokers_know_is_not_known_where_nobody_answers() -> None:
    assert read_known_requests({"bootstrap.servers": "127.0.0.1:1,broker.invalid:9092,nothing"}) is None
