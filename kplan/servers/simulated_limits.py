"""What a simulated cluster refuses that lacks a capability, as documented services lack it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from kplan.diagnostics import CapabilityMissing, Rejected, codes
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.options import reassignment_of
from kplan.model import EMPTY, Action, Change, Connector, Topic

HELP: Final = "the environment says so, under `simulated: {capabilities: …}`"
# Confluent Cloud's Freight clusters: https://docs.confluent.io/cloud/current/clusters/cluster-types.html
COMPACTION: Final = "compaction"
# WarpStream: https://docs.warpstream.com/warpstream/reference/protocol-and-feature-support
SETTINGS: Final = "settings"
PARTITIONS: Final = "partitions"
REPLICAS: Final = "replicas"
# Connect before 3.6 (KIP-875)
STOPPED_STATE: Final = "stopped_state"
TIERED: Final = "remote.storage.enable"


def refuse_topic(change: Change, missing: Collection[str]) -> None:
    """Raise CapabilityMissing for what the simulated brokers cannot do to a topic."""
    if missing and isinstance(change.after, Topic) and (words := _find_missing(change, change.after, missing)):
        raise CapabilityMissing(f"the simulated brokers {words}", code=codes.K338, help=HELP)


def _find_missing(change: Change, after: Topic, missing: Collection[str]) -> str:
    paths = {diff.path for diff in change.diffs} if change.action is Action.UPDATE else set()
    if COMPACTION in missing and "compact" in str(after.config.get("cleanup.policy", "")):
        return "have no compaction"
    if SETTINGS in missing and any(path.startswith("/config/") for path in paths):
        return "cannot change a topic's settings (IncrementalAlterConfigs)"
    if PARTITIONS in missing and "/partitions" in paths:
        return "cannot add partitions (CreatePartitions)"
    if REPLICAS in missing and reassignment_of(change) is not None:
        return "cannot change replication factors (AlterPartitionReassignments)"
    return ""


def find_missing_state(connector: Connector, missing: Collection[str]) -> CapabilityMissing | None:
    """Return why the simulated Connect cannot bring the connector into its state."""
    if STOPPED_STATE in missing and connector.state == "stopped":
        return CapabilityMissing("the simulated Connect has no state `stopped`: it is as before 3.6", help=HELP)
    return None


def refuse_config(config: Mapping[str, str], has_tiered_storage: bool, before: Mapping[str, str] = EMPTY) -> None:
    """Raise what Kafka answers to these settings of a topic that has those of `before`."""
    for key, value in config.items():
        if key not in catalog.CONFIGS:
            raise Rejected(f"Unknown topic config name: {key}")
        try:
            catalog.canonical(key, value)
        except ValueError as e:
            raise Rejected(f"Invalid value {value} for configuration {key}: {e}") from e
    if _is_tiered(config) and not has_tiered_storage:
        raise Rejected(
            "Tiered Storage functionality is disabled in the simulated brokers, so remote.storage.enable cannot be "
            "true.",
            help="if your brokers have it, write `simulated: {tiered_storage: true}` in kplan.yaml",
        )
    if _is_tiered(before) and not _is_tiered(config):
        _refuse_end_of_tiering(config)
    for _, problem in catalog.cross_check(config):
        raise Rejected(problem)


def _is_tiered(config: Mapping[str, str]) -> bool:
    return config.get(TIERED, "").strip().lower() == "true"


def _refuse_end_of_tiering(config: Mapping[str, str]) -> None:
    """Raise what Kafka answers where tiered storage ends and its records would stay (KIP-950, `LogConfig`)."""
    if config.get("remote.log.delete.on.disable", "").strip().lower() != "true":
        raise Rejected(
            "It is invalid to disable remote storage without deleting remote data (remote.storage.enable).",
            help="to keep it and only read it, set remote.storage.enable: true and remote.log.copy.disable: true; "
            "to delete it, set remote.storage.enable: false and remote.log.delete.on.disable: true",
        )
