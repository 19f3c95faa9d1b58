"""Other tools' files: the content tells the format."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from kplan.diagnostics import Invalid, Span, codes, error
from kplan.importers.ansible import holds_tasks
from kplan.importers.bitnami import find_provisioning
from kplan.importers.ns4kafka import is_own as is_of_ns4kafka
from kplan.importers.reading import file_error, read_documents
from kplan.importers.resources import ImportedResources
from kplan.importers.script import is_script
from kplan.importers.terraform_state import is_state
from kplan.kinds.expansion import MOST_RESOURCES
from kplan.language import source
from kplan.language.mistaken import CLASS_PROPERTY, DESCRIBED, TERRAFORM, recognize
from kplan.language.source import Document

TEXTS: Final = (
    "properties",
    "describe",
    "script",
)  # formats that are neither YAML nor JSON, each with a module of its name
CONFLUENT: Final = "platform.confluent.io"
OF_SEVERAL_FILES: Final = frozenset(("ns4kafka",))  # formats of which a file may need any other
MAX_BYTES: Final = 64 << 20  # of one file
Parse = Callable[[Sequence[Document], ImportedResources], None]

MODULES: Final[Mapping[str, str]] = {
    "connect": "connect",
    "confluent": "confluent",
    "strimzi": "strimzi",
    "jikkou": "jikkou",
    "kafka-gitops": "gitops",
    "julie": "julie",
    "terraform-state": "terraform_state",
    "topicctl": "topicctl",
    "topics": "topics",
    "ns4kafka": "ns4kafka",
    "bitnami": "bitnami",
    "ansible": "ansible",
}


def parse(path: str, data: bytes, format: str = "") -> ImportedResources:
    """Parse one file. Raises Invalid where it is damaged or its format is unknown."""
    return parse_all([(path, data)], format)


def parse_all(files: Sequence[tuple[str, bytes]], format: str = "", listed: Collection[str] = ()) -> ImportedResources:
    """Parse the files, given by path; files of one tool may need each other. Raises as `parse` does.

    Of the files that were `listed` in a folder, not named, those of no known format are noted and left out.
    """
    imported = ImportedResources()
    terraform: list[tuple[str, str]] = []
    waiting: dict[str, list[Document]] = {}
    for path, data in files:
        if len(data) > MAX_BYTES:
            raise file_error(f"it has more than {MAX_BYTES >> 20} MiB", Span(path), "split it")
        text = _decode(path, data)
        format_name = format or _detect_text_format(path, text)
        if format_name == "terraform":
            terraform.append((path, text))
            continue
        try:
            imported.merge(_parse_text(path, text, format_name, waiting))
        except Invalid as failure:
            if path not in listed or {each.code for each in failure.diagnostics} != {codes.K630.number}:
                raise
            imported.note(f"left out: {_explain_unknown(path, failure)}", Span(path))
    for name, documents in waiting.items():
        importlib.import_module(f"kplan.importers.{MODULES[name]}").parse(documents, imported)
    if terraform:  # its files are one configuration
        module = importlib.import_module("kplan.importers.terraform")
        imported.merge(module.parse_all(terraform))
    if len(imported.resources) > MOST_RESOURCES:
        detail = f"they have more than {MOST_RESOURCES:,} topics and connectors, and a stack has no more"
        raise file_error(detail, Span(files[0][0]), "give fewer files, or split them")
    imported.note_clusters()
    return imported


def _explain_unknown(path: str, failure: Invalid) -> str:
    """Return what a file is, where that is recognized, and what to do with it."""
    begin = f"{path} is "
    recognized = next((each for each in failure.diagnostics if each.detail.startswith(begin)), None)
    if recognized is None:
        return "a file of no known format"
    return f"it is {recognized.detail.removeprefix(begin).rstrip('.')}: {' '.join(recognized.help.split())}"


def _decode(path: str, data: bytes) -> str:
    """Decode the file. Raises Invalid where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        place = Span(path, data.count(b"\n", 0, e.start) + 1)
        raise Invalid([error(codes.K631, "a file cannot be imported", "it is not UTF-8 text", span=place)]) from e


def _parse_text(path: str, text: str, format_name: str, waiting: dict[str, list[Document]]) -> ImportedResources:
    """Parse the text of a file in YAML or JSON, or of `kafka-topics.sh --describe`; add to `waiting` the documents that
    other files may be needed for."""
    if format_name in TEXTS:
        module = importlib.import_module(f"kplan.importers.{format_name}")
        parsed: ImportedResources = module.parse(path, text)
        return parsed
    imported = ImportedResources()
    try:
        groups = _group_by_format(read_documents(path, text, imported), format_name)
    except Invalid as failure:
        if not format_name and _holds_commands(path, text):
            return _parse_text(path, text, "script", waiting)
        raise _recognize_other_format(path, text, format_name) or failure from failure
    for name in OF_SEVERAL_FILES & groups.keys():
        waiting.setdefault(name, []).extend(groups.pop(name))
    for name, documents_of_format in groups.items():
        module = importlib.import_module(f"kplan.importers.{MODULES[name]}")
        module.parse(documents_of_format, imported)
    return imported


def _holds_commands(path: str, text: str) -> bool:
    """Return whether a text that is neither a map nor a list has commands, such as a page with examples."""
    document = source.load(text, path)[0]
    recognized = recognize(path, text)
    is_text = document is None or not isinstance(document.data, dict | list)
    return is_text and recognized is not None and recognized.format == "script"


def _recognize_other_format(path: str, text: str, format_name: str) -> Invalid | None:
    """Return the error that names a format that cannot be imported; None where the format is not recognized."""
    recognized = recognize(path, text, document.data if (document := source.load(text, path)[0]) else None)
    if recognized is None or recognized.format in (format_name or (*MODULES, "terraform", *TEXTS)):
        return None
    return Invalid([recognized.not_importable(path, text)])


def _detect_text_format(path: str, text: str) -> str:
    """Return the format of a text that is not YAML or JSON; empty for all others."""
    if path.endswith((".tf", ".tf.json", ".tfvars", ".tfvars.json")) or TERRAFORM.search(text):
        return "terraform"
    if path.endswith(".properties") or (CLASS_PROPERTY.search(text) and text.lstrip()[:1] not in ("{", "[")):
        return "properties"
    if DESCRIBED.search(text):
        return "describe"
    return "script" if is_script(path, text) else ""


def _group_by_format(documents: Sequence[Document], format_name: str) -> dict[str, list[Document]]:
    """Return the documents by the name of their format."""
    groups: dict[str, list[Document]] = {}
    found = "" if format_name else _find_kubernetes_format(documents)
    for part in documents:
        own = _find_kubernetes_format([part]) or found  # one file may have objects of several operators
        name = format_name or (own if found and _is_kubernetes_object(part.data) else _detect_format(part))
        if name not in ("connect", "ansible") and not isinstance(part.data, dict):
            raise file_error("it is not a map", part.at())
        groups.setdefault(name, []).append(part)
    return groups


def _detect_format(document: Document) -> str:
    """Return the format of one document. Raises Invalid."""
    data = document.data
    if isinstance(data, list) and data and all(isinstance(each, dict) for each in data):
        data = data[0]
    if not isinstance(data, dict):
        raise unknown_format_error(document.path, "it is not a map", document.at())
    version = str(data.get("apiVersion", ""))
    candidates: tuple[tuple[str, bool], ...] = (
        ("ansible", holds_tasks(document.data)),
        ("ns4kafka", is_of_ns4kafka(data)),
        ("bitnami", find_provisioning(data) is not None),
        ("strimzi", _is_strimzi(data)),
        ("terraform-state", is_state(data)),
        ("confluent", _is_of(data, CONFLUENT)),
        ("jikkou", "jikkou" in version),
        ("topicctl", isinstance(data.get("meta"), dict) and isinstance(data.get("spec"), dict)),
        ("julie", isinstance(data.get("projects"), list) or _is_platform(data)),
        ("topics", isinstance(data.get("kafka"), dict) and "topics" in data["kafka"]),
        ("connect", _is_connect(data)),
        (
            "kafka-gitops",
            not version and not {"stack", "format_version"} & data.keys() and _is_gitops(data),
        ),
    )
    for name, matches in candidates:
        if matches:
            return name
    if "stack" in data and "version" in data:
        raise unknown_format_error(document.path, "it is a stack of kplan's already", document.at("stack"))
    if version:
        raise unknown_format_error(
            document.path,
            f"apiVersion {version}: neither Strimzi's, Confluent's nor Jikkou's",
            document.at("apiVersion"),
        )
    raise unknown_format_error(document.path, f"its keys are {', '.join(map(str, list(data)[:6]))}", document.at())


def _is_platform(data: Mapping[str, Any]) -> bool:
    """Return whether it is a topology of JulieOps that has only its platform."""
    platform = data.get("platform")
    return isinstance(platform, dict) and bool({"kafka", "schema_registry", "control_center", "ksql"} & platform.keys())


def _find_kubernetes_format(documents: Sequence[Document]) -> str:
    """Return whose objects are among the documents; others beside them are noted. Empty where there are none."""
    if any(_is_strimzi(document.data) for document in documents):
        return "strimzi"
    if any(_is_of(document.data, CONFLUENT) for document in documents):
        return "confluent"
    return "ns4kafka" if any(is_of_ns4kafka(document.data) for document in documents) else ""


def _is_strimzi(data: Any) -> bool:
    """Return whether it is an object of Strimzi's, or a Kubernetes `List` with one."""
    return _is_of(data, "strimzi.io")


def _is_of(data: Any, group: str) -> bool:
    """Return whether it is an object of a group, or a Kubernetes `List` with one."""
    return isinstance(data, dict) and (group in str(data.get("apiVersion", "")) or _has_items_of(data, group))


def _is_kubernetes_object(data: Any) -> bool:
    """Return whether it is any Kubernetes object; next to Strimzi's it is noted as not carried over."""
    return (
        isinstance(data, dict) and "apiVersion" in data and "kind" in data and "jikkou" not in str(data["apiVersion"])
    )


def _is_gitops(data: Mapping[str, Any]) -> bool:
    """Return whether it has a section of kafka-gitops: all of them are maps, and values of a chart often lists."""
    return any(isinstance(data[key], dict | None) for key in GITOPS_KEYS & data.keys())


GITOPS_KEYS: Final = frozenset(("topics", "customServiceAcls", "customUserAcls"))


def _has_items_of(data: Mapping[str, Any], group: str) -> bool:
    """Return whether it is a Kubernetes `List` with an item of that group."""
    items = data.get("items")
    return isinstance(items, list) and any(isinstance(i, dict) and group in str(i.get("apiVersion", "")) for i in items)


def _is_connect(data: Mapping[str, Any]) -> bool:
    """Return whether it is a connector, or an answer of `GET /connectors`."""
    config = data.get("config")
    if "connector.class" in data or (isinstance(config, dict) and ("connector.class" in config or "name" in data)):
        return True
    return bool(data) and all(isinstance(each, dict) and {"info", "status"} & each.keys() for each in data.values())


def unknown_format_error(path: str, detail: str, span: Span | None = None) -> Invalid:
    """Return the error of a file whose format is unknown."""
    help = f"`--file-format` says what it is: {', '.join([*MODULES, 'terraform', *TEXTS])}"
    return Invalid(
        [error(codes.K630, "a file of no known format", f"{path}: {detail}", help=help, span=span or Span(path))]
    )


__all__ = ["file_error", "parse", "parse_all", "unknown_format_error"]
