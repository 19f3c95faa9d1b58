"""Connect's REST API: how its failures read, its paths, and the features of each version.

https://kafka.apache.org/documentation/#connect_rest
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from urllib.parse import quote

from kplan.diagnostics import Busy, Denied, KplanError, Rejected, Unsupported, codes
from kplan.kinds.connector.names import CONNECTOR_NAME, NAME_CHARACTERS, local_name
from kplan.model.masks import Mask
from kplan.servers.connect.errors import NO_CLASS, classify, connect_message, html_title, is_temporary
from kplan.servers.peer import Peer

_DENIALS: Mapping[int, str] = {401: "it does not know this login", 403: "this user may not"}

# -- versions

FEATURES: Mapping[str, tuple[int, int]] = {
    "read_offsets": (3, 5),  # KIP-875
    "stop": (3, 6),  # KIP-875
    "offsets": (3, 6),  # KIP-875: alter and delete
    "initial_state": (3, 7),  # KIP-980
    "patch": (3, 8),  # KIP-477
}


def parse_kafka_version(version: str) -> tuple[int, int] | None:
    """Return major and minor of Apache Kafka; Confluent's versions are 4 ahead, so 7.6.0-ccs is Kafka 3.6."""
    match = re.match(r"(\d+)\.(\d+)", version)
    if not match:
        return None
    major, minor = int(match[1]), int(match[2])
    return (major - 4 if re.search(r"-(ccs|ce)\b", version) else major), minor


def supports(version: str, feature: str) -> bool:
    """Return whether a worker of `version` has one of `FEATURES`; an unknown version has none."""
    kafka = parse_kafka_version(version)
    return kafka is not None and kafka >= FEATURES[feature]


# -- failures


def make_error(status: int, body: str, request: str, host: str, mask: Mask) -> KplanError:
    """Return what an unsuccessful answer means."""
    message = connect_message(body)
    kind = classify(status, message)
    text_shown = mask.mask(message or html_title(body)) or _DENIALS.get(status, "nothing more")
    request = f" to {request}" if kind is Denied else ""
    return kind(f"Connect ({host}) answers {status}{request}: {text_shown}",
                code=codes.K303 if NO_CLASS in message.lower() else None, help=_find_help(status, kind))  # fmt: skip


def _find_help(status: int, kind: type[KplanError]) -> str:
    if status == 403:
        return "let whoever guards Connect allow this user what docs/permissions.md lists"
    if status in (301, 302, 303, 307, 308):
        return "this address redirects; put the final one into `connect.url`"
    return {
        Denied: "check `connect.username` and `connect.password`, or `connect.token`",
        Busy: "Connect rebalances or starts; try again",
        Unsupported: "see which version of Connect this needs",
    }.get(kind, "")


PEER = Peer(
    "Connect",
    "Kafka Connect",
    "worker",
    "connect",
    "it needs the port of Connect's REST API, often 8083, not a broker's",
    logging.getLogger("kplan.servers.connect"),  # one name for all work with Connect
    make_error,
    is_temporary,
)


# -- paths
def path_of(name: str, *parts: str) -> str:
    """Return `/connectors/NAME/…`, without the alias of its Connect. Raises Rejected for a name that the REST API
    cannot address, such as `a b`.
    """
    name = local_name(name)
    if not CONNECTOR_NAME.match(name) or name in (".", ".."):
        raise Rejected(f"{name!r} is not a name for a connector", help=f"it has {NAME_CHARACTERS}")
    return "/".join(["/connectors", quote(name, safe=""), *parts])


def plugin_path(java_class: str, *parts: str) -> str:
    return "/".join(["/connector-plugins", quote(java_class, safe=""), *parts])
