"""Connect's own JSON: `POST /connectors`, `PUT /connectors/NAME/config`, `GET /connectors?expand=info&expand=status`.

Source: Kafka's ConnectorsResource and CreateConnectorRequest (`name`, `config`, `initial_state`: KIP-980).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from kplan.importers.reading import (
    STATES,
    Path,
    add_connector,
    file_error,
    note_unread_keys,
    read_map,
    read_name,
    read_settings,
    read_state,
)
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the connectors of the files to `imported`. Raises Invalid."""
    for document in documents:
        states = _read_states(document, imported)
        for path, data in _list_connectors(document):
            _parse_connector(document, path, data, imported, states.get(path[0] if path else "", ""))


def _list_connectors(document: Document) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the data of each connector in the document."""
    if isinstance(document.data, list):
        yield from (((i,), entry) for i, entry in enumerate(document.data))
        return
    data = read_map(document, (), document.data, required=True)
    if "connector.class" in data or "config" in data:
        yield (), data
        return
    for name, each in data.items():  # the answer of GET /connectors?expand=info&expand=status
        answer = read_map(document, (name,), each, required=True)
        yield (name, "info"), read_map(document, (name, "info"), answer.get("info"), required=True)


def _read_states(document: Document, imported: ImportedResources) -> dict[str | int, str]:
    """Return the state of each connector in an answer of `GET /connectors`; note those whose state is missing."""
    answers = document.data if isinstance(document.data, dict) else {}
    if {"connector.class", "config"} & answers.keys():
        return {}
    states: dict[str | int, str] = {}
    for name, answer in answers.items():
        status = read_map(document, (name, "status"), answer.get("status") if isinstance(answer, dict) else None)
        connector = read_map(document, (name, "status", "connector"), status.get("connector"))
        state = str(connector.get("state", "")).lower()
        if not state:
            note = f"connector/{name}: the file does not say whether it is paused; the stack has it running"
            imported.note(f"{note}; `GET /connectors?expand=info&expand=status` says it", document.key_at(name))
        states[name] = state if state in STATES else ""  # failed, unassigned and the like cannot be declared
    return states


def _parse_connector(document: Document, path: Path, data: Any, imported: ImportedResources, live_state: str) -> None:
    """Add one connector, given as a request or as its config alone."""
    data = read_map(document, path, data, required=True)
    if "config" not in data:
        config = read_settings(document, path, data, imported)
        name = config.get("name") or _name_from_file(document)
        add_connector(imported, document, path, name, config)
        return
    config_path = (*path, "config")
    config = read_settings(
        document, config_path, read_map(document, config_path, data["config"], required=True), imported
    )
    name = read_name(document, (*path, "name"), data.get("name") or config.get("name") or _name_from_file(document))
    if config.get("name", name) != name:
        raise file_error(
            f"the connector is {name}, and its config says {config['name']}", document.at(*config_path, "name")
        )
    initial_state = live_state or read_state(document, (*path, "initial_state"), data.get("initial_state"))
    add_connector(imported, document, path, name, config, initial_state)
    note_unread_keys(imported, document, path, ("name", "config", "initial_state", "tasks", "type"))


def _name_from_file(document: Document) -> str:
    """Return the file's own name, for a connector whose name is in the URL that it is sent to."""
    return PurePath(document.path).name.removesuffix(".json").removesuffix(".yaml").removesuffix(".yml")
