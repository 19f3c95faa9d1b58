"""What `kplan doctor` asks of a Connect cluster: who it is, what its version can do, which plugins it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from kplan.diagnostics import KplanError, codes
from kplan.model import Target
from kplan.model.checkup import CheckResult, ServerCheck, make_failure
from kplan.servers.connect.connectors import ConnectConnectors
from kplan.servers.connect.rest import FEATURES, supports
from kplan.servers.rest import check_clock
from kplan.text import count

# What each feature of a version is for, and what kplan does without it.
USES: Final[Mapping[str, str]] = {
    "read_offsets": "remember a connector's offsets before it is deleted, so that an undo puts them back",
    "stop": "stop connectors (`state: stopped`)",
    "offsets": "change and delete offsets",
    "initial_state": "move connectors with their offsets",
    "patch": "change single settings, so that secrets that kplan does not know stay",
}


def check_connect(connect: ConnectConnectors, cluster_id: str) -> Iterator[ServerCheck]:
    """Yield the checks of one Connect; `cluster_id` is that of the brokers, empty where it is not known."""
    server = f"Connect {connect.alias}".strip()
    make = partial(ServerCheck, server)
    try:
        target = connect.identify()
        connectors: Sequence[str] = connect.rest.call("GET", "/connectors") or ()
        plugins: Sequence[Mapping[str, Any]] = connect.rest.call("GET", "/connector-plugins") or ()
    except KplanError as failure:
        yield make_failure(server, "connection", failure)
        return
    words = f"{target.connect_url}: version {target.connect_version}, {count(len(connectors), 'connector')}"
    yield make("connection", CheckResult.OK, words)
    if cluster_id and target.cluster_id != cluster_id:
        words = f"it works on cluster {target.cluster_id}, not on {cluster_id}"
        help = "name the Connect of this cluster in the environment"
        yield make("cluster", CheckResult.FAILED, words, help, codes.K332.number)
    yield from _check_features(server, target)
    yield make("plugins", CheckResult.OK, _describe_plugins(plugins))
    yield from check_clock(server, connect.rest)


def _check_features(server: str, target: Target) -> Iterator[ServerCheck]:
    for feature, use in USES.items():
        if supports(target.connect_version, feature):
            yield ServerCheck(server, feature.replace("_", " "), CheckResult.OK, f"can {use}")
        else:
            since = "{}.{}".format(*FEATURES[feature])
            words, help = f"cannot {use}", f"this needs Kafka Connect {since}"
            yield ServerCheck(server, feature.replace("_", " "), CheckResult.ABSENT, words, help)


def _describe_plugins(plugins: Sequence[Mapping[str, Any]]) -> str:
    """Return each class in short with its version."""
    names = sorted(f"{str(each.get('class', '')).rpartition('.')[2]} {each.get('version') or '?'}" for each in plugins)
    return ", ".join(names) or "none"
