"""The files of each tool, and which tools a folder has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.bench.peers import OURS, PEERS, Peer, Work, find_peers, resolve_command

TOPICS = Work("127.0.0.1:9", "side.", 3, others=("bench.",))
CONNECTORS = Work("127.0.0.1:9", "side-", 3, connect="http://127.0.0.1:8")
WITH_FILES = [peer for peer in (OURS, *PEERS) if peer.write(TOPICS)]


@pytest.mark.parametrize("peer", WITH_FILES, ids=lambda peer: peer.name)
def test_every_topic_and_connector_is_in_the_files(peer: Peer) -> None:
    for work in [work for job, work in (("plan", TOPICS), ("connectors-plan", CONNECTORS)) if job in peer.jobs]:
        text = "\n".join(peer.write(work).values())
        assert all(name in text for name in work.names)


@pytest.mark.parametrize("peer", WITH_FILES, ids=lambda peer: peer.name)
def test_files_are_readable(peer: Peer) -> None:
    for name, text in [*peer.write(TOPICS).items(), *peer.write(CONNECTORS).items()]:
        if name.endswith(".yaml"):
            assert all(isinstance(document, dict) for document in yaml.safe_load_all(text))
        elif name.endswith((".json", ".tfstate", ".conf")):
            assert json.loads(text)


def test_kafka_gitops_leaves_topics_of_others_alone() -> None:
    gitops = next(peer for peer in PEERS if peer.name == "kafka-gitops")
    files = gitops.write(TOPICS)
    for name in ("state.yaml", "nothing.yaml"):
        excluded = yaml.safe_load(files[name])["settings"]["topics"]["blacklist"]["prefixed"]
        assert {"_", "bench."} <= set(excluded)


def test_terraform_state_has_what_the_file_has() -> None:
    terraform = next(peer for peer in PEERS if peer.name == "terraform")
    files = terraform.write(TOPICS)
    state = json.loads(files["unchanged.tfstate"])
    names = [each["instances"][0]["attributes"]["name"] for each in state["resources"]]
    assert names == TOPICS.names
    assert files["main.tf"].count('resource "kafka_topic"') == 3


GAFKALO = "## Topics\n{}\n## Schemas\n\n## Connectors\n{}\n## Cluster Links"
PLANS = [
    ("topicctl", "All replicas are in-sync\nApply completed", "Found 1 key(s) with different values\nApply completed"),
    ("gafkalo", GAFKALO.format("", ""), GAFKALO.format("[Plan] Will Create  Topic side.00000", "")),
    ("gafkalo", GAFKALO.format("", ""), GAFKALO.format("", "[Plan] Connector: side-00000")),
    ("jikkou", '  - op: "NONE"\n  op: "NONE"', '  - op: "NONE"\n  op: "NONE"\n  - op: "UPDATE"\n  op: "UPDATE"'),
    ("terraform", "No changes. Your infrastructure matches", "Plan: 1 to add, 0 to change, 0 to destroy."),
]


@pytest.mark.parametrize(("name", "same", "different"), PLANS, ids=[name for name, *_ in PLANS])
def test_plan_without_changes_is_recognized(name: str, same: str, different: str) -> None:
    unchanged = next(peer for peer in PEERS if peer.name == name).unchanged
    assert re.search(unchanged, same)
    assert not re.search(unchanged, different)


def test_jikkou_deletes_what_is_marked() -> None:
    files = next(peer for peer in PEERS if peer.name == "jikkou").write(TOPICS)
    items = yaml.safe_load(files["nothing.yaml"])["items"]
    assert [each["metadata"]["name"] for each in items] == TOPICS.names
    assert all(each["metadata"]["annotations"] == {"jikkou.io/delete": True} for each in items)


def test_without_a_folder_all_but_the_own_tool_of_kafka_are_absent() -> None:
    present, absent = find_peers(None)
    assert [peer.name for peer in present] == ["kafka-topics.sh"]
    assert len(absent) == len(PEERS) - 1
    assert all("PEERS=DIR" in line for line in absent)


def test_tools_are_found_in_the_folder_and_its_bin(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for path in (tmp_path / "gafkalo", tmp_path / "bin" / "topicctl", tmp_path / "bin" / "terraform"):
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    present, absent = find_peers(tmp_path)
    assert [peer.name for peer in present] == ["gafkalo", "topicctl", "kafka-topics.sh"]
    assert any("terraform: the folder of tools does not hold `terraform-provider-kafka`" in line for line in absent)
    assert resolve_command(("topicctl", "check"), tmp_path) == [str(tmp_path / "bin" / "topicctl"), "check"]
