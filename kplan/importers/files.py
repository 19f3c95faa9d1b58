"""Other tools' files: what a file is, is told by its content."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kplan.diagnostics import Invalid, Span, codes, error
from kplan.importers.found import Found
from kplan.importers.reading import documents, refused
from kplan.kinds.expansion import MOST_RESOURCES
from kplan.language import source
from kplan.language.mistaken import DESCRIBED, TERRAFORM, recognize
from kplan.language.source import Document

MAX_BYTES: Final = 64 << 20  # of one file
Parse = Callable[[Sequence[Document], Found], None]

MODULES: Final[Mapping[str, str]] = {
    "connect": "connect",
    "strimzi": "strimzi",
    "jikkou": "jikkou",
    "kafka-gitops": "gitops",
    "julie": "julie",
    "topicctl": "topicctl",
    "topics": "topics",
}


def parse(path: str, data: bytes, format: str = "") -> Found:
    """What one file holds. Raises Invalid where it is damaged, or of no format that is known."""
    return parse_all([(path, data)], format)


def parse_all(files: Sequence[tuple[str, bytes]], format: str = "") -> Found:
    """What the files hold, given by path; files of one tool may need each other. Raises as `parse` does."""
    found = Found()
    terraform: list[tuple[str, str]] = []
    for path, data in files:
        if len(data) > MAX_BYTES:
            raise refused(f"it has more than {MAX_BYTES >> 20} MiB", Span(path), "split it")
        text = _text(path, data)
        kind = format or _kind_of_text(path, text)
        if kind == "terraform":
            terraform.append((path, text))
        else:
            found.take(_parsed(path, text, kind))
    if terraform:  # its files are one configuration
        module = importlib.import_module("kplan.importers.terraform")
        found.take(module.parse_all(terraform))
    if len(found.resources) > MOST_RESOURCES:
        detail = f"they have more than {MOST_RESOURCES:,} topics and connectors, and a stack has no more"
        raise refused(detail, Span(files[0][0]), "give fewer files, or split them")
    found.settle()
    return found


def _text(path: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        place = Span(path, data.count(b"\n", 0, e.start) + 1)
        raise Invalid([error(codes.K631, "a file cannot be imported", "it is not UTF-8 text", span=place)]) from e


def _parsed(path: str, text: str, kind: str) -> Found:
    if kind == "describe":
        from kplan.importers import describe

        return describe.parse(path, text)
    found = Found()
    try:
        groups = _grouped(documents(path, text, found), kind)
    except Invalid as failure:
        raise _recognized(path, text, kind) or failure from failure
    for name, parts in groups.items():
        module = importlib.import_module(f"kplan.importers.{MODULES[name]}")
        module.parse(parts, found)
    return found


def _recognized(path: str, text: str, kind: str) -> Invalid | None:
    """The error that names what a file is instead of the formats that can be read; None where that is not known."""
    found = recognize(path, text, document.data if (document := source.load(text, path)[0]) else None)
    if found is None or found.format in (kind or (*MODULES, "terraform", "describe")):
        return None
    return Invalid([found.not_importable(path, text)])


def _kind_of_text(path: str, text: str) -> str:
    if path.endswith((".tf", ".tf.json", ".tfvars", ".tfvars.json")) or TERRAFORM.search(text):
        return "terraform"
    return "describe" if DESCRIBED.search(text) else ""


def _grouped(parts: Sequence[Document], kind: str) -> dict[str, list[Document]]:
    groups: dict[str, list[Document]] = {}
    kubernetes = not kind and any(_is_strimzi(part.data) for part in parts)
    for part in parts:
        name = kind or ("strimzi" if kubernetes and _is_object(part.data) else _kind(part))
        if name != "connect" and not isinstance(part.data, dict):
            raise refused("it is no map", part.at())
        groups.setdefault(name, []).append(part)
    return groups


def _kind(document: Document) -> str:
    """The format of one document. Raises Invalid."""
    data = document.data
    if isinstance(data, list) and data and all(isinstance(each, dict) for each in data):
        data = data[0]
    if not isinstance(data, dict):
        raise unknown(document.path, "it is no map", document.at())
    version = str(data.get("apiVersion", ""))
    tests: tuple[tuple[str, bool], ...] = (
        ("strimzi", _is_strimzi(data)),
        ("jikkou", "jikkou" in version),
        ("topicctl", isinstance(data.get("meta"), dict) and isinstance(data.get("spec"), dict)),
        ("julie", isinstance(data.get("projects"), list)),
        ("topics", isinstance(data.get("kafka"), dict) and "topics" in data["kafka"]),
        ("connect", _is_connect(data)),
        ("kafka-gitops", not version and not {"stack", "format_version"} & data.keys() and bool(_GITOPS & data.keys())),
    )
    for name, fits in tests:
        if fits:
            return name
    if "stack" in data and "version" in data:
        raise unknown(document.path, "it is a stack of kplan's already", document.at("stack"))
    if version:
        raise unknown(document.path, f"apiVersion {version}: neither Strimzi's nor Jikkou's", document.at("apiVersion"))
    raise unknown(document.path, f"its keys are {', '.join(map(str, list(data)[:6]))}", document.at())


def _is_strimzi(data: Any) -> bool:
    """Whether it is an object of Strimzi's, or a Kubernetes `List` with one."""
    if not isinstance(data, dict):
        return False
    return "strimzi.io" in str(data.get("apiVersion", "")) or _items_of(data, "strimzi.io")


def _is_object(data: Any) -> bool:
    """Whether it is any Kubernetes object; beside Strimzi's it is noted as not carried over."""
    return (
        isinstance(data, dict) and "apiVersion" in data and "kind" in data and "jikkou" not in str(data["apiVersion"])
    )


_GITOPS: Final = frozenset(("topics", "customServiceAcls", "customUserAcls"))


def _items_of(data: Mapping[str, Any], group: str) -> bool:
    """Whether it is a Kubernetes `List` with something of that group."""
    items = data.get("items")
    return isinstance(items, list) and any(isinstance(i, dict) and group in str(i.get("apiVersion", "")) for i in items)


def _is_connect(data: Mapping[str, Any]) -> bool:
    config = data.get("config")
    if "connector.class" in data or (isinstance(config, dict) and ("connector.class" in config or "name" in data)):
        return True
    return bool(data) and all(isinstance(each, dict) and {"info", "status"} & each.keys() for each in data.values())


def unknown(path: str, detail: str, span: Span | None = None) -> Invalid:
    help = f"`--file-format` says what it is: {', '.join([*MODULES, 'terraform', 'describe'])}"
    return Invalid(
        [error(codes.K630, "a file of no known format", f"{path}: {detail}", help=help, span=span or Span(path))]
    )


__all__ = ["parse", "parse_all", "refused", "unknown"]
