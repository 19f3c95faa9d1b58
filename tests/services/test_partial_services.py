"""Services that know a part of Kafka's requests: a plan says what is missing, before anything is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from tests.fakes.kafka_services import EVENT_HUBS, FREIGHT, WARPSTREAM, PartialService
from tests.faults.stage import ProxiedCluster
from tests.services import ServiceMissing
from tests.services.fixtures import without
from tests.shell import Shell

pytestmark = pytest.mark.xdist_group("partial services")  # starts its own
LANES = (WARPSTREAM, EVENT_HUBS, FREIGHT)
TOPIC = "version: 1\nstack: partial\ntopics:\n  orders: {config: {retention.ms: %s}, accept: [data-loss]}\n"


@pytest.fixture(scope="module")
def cluster() -> Iterator[ProxiedCluster]:
    try:
        with ProxiedCluster(lanes=len(LANES)) as made:
            for (_, lane), proxy in made.proxies.items():
                proxy.edit = LANES[lane].edit
            yield made
    except ServiceMissing as missing:
        without(missing)


def open_shell(folder: Path, cluster: ProxiedCluster, service: PartialService, state: object = None) -> Shell:
    shell = Shell(folder)
    bootstrap = cluster.through(LANES.index(service))
    environment: dict[str, object] = {
        "kafka": {"bootstrap.servers": bootstrap},
        "timeouts": {"request": "10s", "settle": "30s"},
    }
    environment |= {"state": state} if state else {}
    shell.write("kplan.yaml", json.dumps({"version": 1, "default": "it", "environments": {"it": environment}}))
    shell.write("stack.yaml", TOPIC % 60000)
    return shell


def results(shell: Shell, *arguments: str, expect: int) -> dict[str, str]:
    checks = json.loads(shell.kplan("doctor", *arguments, "--format", "json", expect=expect).out)["checks"]
    return {check["subject"]: check["result"] for check in checks}


@pytest.mark.parametrize(
    ("service", "reason"),
    [(EVENT_HUBS, "the brokers have no transactions"), (FREIGHT, "cleanup.policy: only delete is allowed")],
    ids=lambda each: getattr(each, "name", "because"),
)
def test_a_state_that_cannot_be_in_a_topic_is_refused_at_plan(
    service: PartialService, reason: str, tmp_path: Path, cluster: ProxiedCluster
) -> None:
    shell = open_shell(tmp_path, cluster, service)
    refused = shell.kplan("plan", "stack.yaml", expect=4).err
    assert "error[K337]" in refused and reason in refused and "`state: {sqlite: FILE}`" in refused
    assert shell.kplan("apply", "stack.yaml", "--yes", expect=4).err.count("K337") == 1
    assert results(shell, expect=2)["place"] == "lacking"
    assert not AdminClient({"bootstrap.servers": cluster.bootstrap}).list_topics(timeout=10).topics

    shell = open_shell(tmp_path, cluster, service, {"sqlite": "state.db"})
    shell.kplan("apply", "stack.yaml", "--yes")
    assert "No changes." in shell.kplan("plan", "stack.yaml").out
    assert results(shell, "stack.yaml", expect=0 if service is FREIGHT else 2)["place"] == "ok"
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")


def test_requests_that_brokers_do_not_know_are_named_at_plan(tmp_path: Path, cluster: ProxiedCluster) -> None:
    shell = open_shell(tmp_path, cluster, WARPSTREAM, {"sqlite": "state.db"})
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.write("stack.yaml", TOPIC % 70000)
    refused = shell.kplan("plan", "stack.yaml", expect=4).err
    assert "error[K338]" in refused and "stack.yaml:4" in refused and "IncrementalAlterConfigs" in refused
    shell.environment["KPLAN_VAR_secret"] = "canary-partial"
    users = (
        "variables: {secret: {sensitive: true}}\nusers: {a: {mechanism: SCRAM-SHA-512, password: '{{ var.secret }}'}}"
    )
    for key, code in ((users, "K343"), ("quotas: [{user: a, producer_byte_rate: 1000}]", "K338")):
        shell.write("stack.yaml", f"{TOPIC % 60000}{key}\n")
        assert f"error[{code}]" in shell.kplan("plan", "stack.yaml", expect=4).err, key
    found = results(shell, "stack.yaml", expect=2)
    assert found["settings"] == found["quotas"] == "lacking", "the stack has topics and quotas"
    assert found["replicas"] == found["users"] == "absent" and found["transactions"] == "ok"
    shell.write("stack.yaml", TOPIC % 60000)
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*")
