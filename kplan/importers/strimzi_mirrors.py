"""The connectors that Strimzi makes of a KafkaMirrorMaker2.

Source: Strimzi's API reference, KafkaMirrorMaker2Spec, in `v1` (a target, and a source in each mirror) and `v1beta2`
(clusters with aliases); names and settings are those that its operator gives to Connect.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from kplan.importers.reading import (
    Path,
    add_connector,
    note_unread_keys,
    read_count,
    read_list,
    read_map,
    read_name,
    read_settings,
    read_state,
)
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document
from kplan.model import Secret
from kplan.values import dataclass

PACKAGE: Final = "org.apache.kafka.connect.mirror."
CONNECTORS: Final[Mapping[str, str]] = {
    "sourceConnector": "MirrorSourceConnector",
    "checkpointConnector": "MirrorCheckpointConnector",
    "heartbeatConnector": "MirrorHeartbeatConnector",
}
PATTERNS: Final[Mapping[str, str]] = {
    "topicsPattern": "topics",
    "topicsExcludePattern": "topics.exclude",
    "topicsBlacklistPattern": "topics.exclude",
    "groupsPattern": "groups",
    "groupsExcludePattern": "groups.exclude",
    "groupsBlacklistPattern": "groups.exclude",
}
MECHANISMS: Final[Mapping[str, str]] = {
    "plain": "PLAIN",
    "scram-sha-256": "SCRAM-SHA-256",
    "scram-sha-512": "SCRAM-SHA-512",
}
OF_CLUSTERS: Final = ("alias", "bootstrapServers", "tls", "authentication", "config")
OF_WORKERS: Final = ("groupId", "configStorageTopic", "offsetStorageTopic", "statusStorageTopic")  # of a target


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A cluster of a mirror: its settings in a connector, without the prefix, and those that Kubernetes keeps."""

    settings: Mapping[str, str]
    secrets: Mapping[str, Secret] = field(default_factory=dict)

    @property
    def alias(self) -> str:
        return self.settings["alias"]


def parse_mirrors(document: Document, path: Path, data: dict[str, Any], imported: ImportedResources) -> None:
    """Add the connectors of each mirror. Raises Invalid."""
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    name = read_name(document, (*path, "metadata", "name"), metadata.get("name"))
    reader = _Reader(document, (*path, "spec"), imported, str(metadata.get("namespace", "")))
    spec = read_map(document, reader.path, data.get("spec"), required=True)
    clusters = dict(reader.list_clusters(spec))
    target = reader.read_cluster(("target",), spec["target"]) if spec.get("target") else None
    for i, entry in enumerate(read_list(document, (*reader.path, "mirrors"), spec.get("mirrors"))):
        mirror = read_map(document, (*reader.path, "mirrors", i), entry, required=True)
        source = reader.read_cluster(("mirrors", i, "source"), mirror.get("source")) if "source" in mirror else None
        source = source or clusters.get(str(mirror.get("sourceCluster")))
        own_target = target or clusters.get(str(mirror.get("targetCluster")))
        if source is None or own_target is None:
            place = document.at(*reader.path, "mirrors", i)
            imported.note(f"KafkaMirrorMaker2 {name}: mirror {i + 1} is left out: it has no source and target", place)
            continue
        reader.add_connectors(i, mirror, source, own_target, name)
    words = "its workers are not carried over: a stack declares connectors"
    imported.note(f"KafkaMirrorMaker2 {name}: {words}", document.key_at(*path, "spec"))


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the parts of one specification at its path."""

    document: Document
    path: Path
    imported: ImportedResources
    namespace: str

    def list_clusters(self, spec: Mapping[str, Any]) -> Iterator[tuple[str, _Cluster]]:
        """Yield the clusters of `v1beta2` by their aliases."""
        for i, entry in enumerate(read_list(self.document, (*self.path, "clusters"), spec.get("clusters"))):
            cluster = self.read_cluster(("clusters", i), entry)
            yield cluster.alias, cluster

    def read_cluster(self, at: Path, data: Any) -> _Cluster:
        """Return a cluster's settings, with the protocol and the login that its keys say."""
        path: Path = (*self.path, *at)
        cluster = read_map(self.document, path, data, required=True)
        settings = {
            "alias": read_name(self.document, (*path, "alias"), cluster.get("alias")),
            "bootstrap.servers": read_name(self.document, (*path, "bootstrapServers"), cluster.get("bootstrapServers")),
        }
        secrets: dict[str, Secret] = {}
        tls = cluster.get("tls")
        if isinstance(tls, dict) and tls.get("trustedCertificates"):
            settings["ssl.truststore.type"] = "PEM"
            secrets["ssl.truststore.certificates"] = self._refer_to(tls)
        login = read_map(self.document, (*path, "authentication"), cluster.get("authentication"))
        kind = str(login.get("type") or "")
        if kind in MECHANISMS:
            settings["sasl.mechanism"] = MECHANISMS[kind]
            secrets["sasl.jaas.config"] = self._refer_to(login)
        elif kind == "tls":
            settings["ssl.keystore.type"] = "PEM"
            secrets |= dict.fromkeys(("ssl.keystore.certificate.chain", "ssl.keystore.key"), self._refer_to(login))
        elif kind:
            place = self.document.at(*path, "authentication")
            self.imported.note(f"authentication of type {kind} is not carried over", place)
        protocol = "PLAINTEXT" if tls is None else "SSL"
        settings["security.protocol"] = f"SASL_{protocol}" if kind in MECHANISMS else protocol
        own = read_settings(self.document, (*path, "config"), cluster.get("config"), self.imported)
        note_unread_keys(self.imported, self.document, path, (*OF_CLUSTERS, *OF_WORKERS))
        return _Cluster({**settings, **own}, {key: secret for key, secret in secrets.items() if key not in own})

    def _refer_to(self, section: Mapping[str, Any]) -> Secret:
        """Return what a Secret of Kubernetes holds; connectors that name the same one share a variable."""
        return Secret(f"{self.namespace} {json.dumps(section, sort_keys=True, default=str)}")

    def add_connectors(
        self, index: int, mirror: Mapping[str, Any], source: _Cluster, target: _Cluster, owner: str
    ) -> None:
        """Add the connectors of one mirror, named as the operator names them."""
        path: Path = (*self.path, "mirrors", index)
        patterns = {PATTERNS[key]: str(value) for key, value in mirror.items() if key in PATTERNS and value is not None}
        secrets = {f"source.cluster.{key}": secret for key, secret in source.secrets.items()}
        secrets |= {f"target.cluster.{key}": secret for key, secret in target.secrets.items()}
        for key, java_class in CONNECTORS.items():
            if mirror.get(key) is None:
                continue
            spec = read_map(self.document, (*path, key), mirror[key])
            config = {"connector.class": PACKAGE + java_class}
            config |= {f"source.cluster.{key}": value for key, value in source.settings.items()}
            config |= {f"target.cluster.{key}": value for key, value in target.settings.items()}
            config |= read_settings(self.document, (*path, key, "config"), spec.get("config"), self.imported)
            config |= patterns
            if spec.get("tasksMax") is not None:
                count = read_count(self.document, (*path, key, "tasksMax"), spec["tasksMax"], 1, self.imported)
                config["tasks.max"] = str(count)
            name = f"{source.alias}->{target.alias}.{java_class}"
            state = spec.get("state") or ("paused" if spec.get("pause") is True else "running")
            initial_state = read_state(self.document, (*path, key), state)
            add_connector(self.imported, self.document, (*path, key), name, config, initial_state, secrets=secrets)
            self.imported.add_to_cluster("Connect cluster", owner, name)
            note_unread_keys(self.imported, self.document, (*path, key), ("tasksMax", "config", "state", "pause"))
        known = (*CONNECTORS, *PATTERNS, "source", "sourceCluster", "targetCluster")
        note_unread_keys(self.imported, self.document, path, known)
