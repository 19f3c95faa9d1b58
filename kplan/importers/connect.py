"""Connect's own JSON: `POST /connectors`, `PUT /connectors/NAME/config`, `GET /connectors?expand=info&expand=status`.

Source: Kafka's ConnectorsResource and CreateConnectorRequest (`name`, `config`, `initial_state`: KIP-980).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from kplan.importers.found import Found
from kplan.importers.reading import STATES, Path, add_connector, leftovers, mapping, name_of, refused, settings, state
from kplan.language.source import Document


def parse(documents: Sequence[Document], found: Found) -> None:
    """Adds the connectors of the files to what was found. Raises Invalid."""
    for document in documents:
        states = _states(document, found)
        for path, data in _each(document):
            _connector(document, path, data, found, states.get(path[0] if path else "", ""))


def _each(document: Document) -> Iterator[tuple[Path, Any]]:
    if isinstance(document.data, list):
        yield from (((i,), each) for i, each in enumerate(document.data))
        return
    data = mapping(document, (), document.data, needed=True)
    if "connector.class" in data or "config" in data:
        yield (), data
        return
    for name, each in data.items():  # the answer of GET /connectors?expand=info&expand=status
        own = mapping(document, (name,), each, needed=True)
        yield (name, "info"), mapping(document, (name, "info"), own.get("info"), needed=True)


def _states(document: Document, found: Found) -> dict[str | int, str]:
    """The state in which each connector of such an answer is to be; it is noted where the answer has none."""
    answers = document.data if isinstance(document.data, dict) else {}
    if {"connector.class", "config"} & answers.keys():
        return {}
    states: dict[str | int, str] = {}
    for name, each in answers.items():
        status = mapping(document, (name, "status"), each.get("status") if isinstance(each, dict) else None)
        connector = mapping(document, (name, "status", "connector"), status.get("connector"))
        word = str(connector.get("state", "")).lower()
        if not word:
            what = f"connector/{name}: whether it is paused is not said, it is running here"
            found.note(f"{what}; `GET /connectors?expand=info&expand=status` says it", document.key_at(name))
        states[name] = word if word in STATES else ""  # failed, unassigned and the like are no state to be in
    return states


def _connector(document: Document, path: Path, data: Any, found: Found, live: str) -> None:
    data = mapping(document, path, data, needed=True)
    if "config" not in data:
        config = settings(document, path, data, found)
        name = config.get("name") or _own_name(document)
        add_connector(found, document, path, name, config)
        return
    at = (*path, "config")
    config = settings(document, at, mapping(document, at, data["config"], needed=True), found)
    name = name_of(document, (*path, "name"), data.get("name") or config.get("name") or _own_name(document))
    if config.get("name", name) != name:
        raise refused(f"the connector is {name}, and its config says {config['name']}", document.at(*at, "name"))
    began = live or state(document, (*path, "initial_state"), data.get("initial_state"))
    add_connector(found, document, path, name, config, began)
    leftovers(found, document, path, ("name", "config", "initial_state", "tasks", "type"))


def _own_name(document: Document) -> str:
    """The file's own name, for a connector whose name is in the URL that it is sent to."""
    return PurePath(document.path).name.removesuffix(".json").removesuffix(".yaml").removesuffix(".yml")
