"""Terraform's `kafka_topic` and `kafka-connect_connector` (the Mongey providers), in HCL or JSON syntax.

HCL is read by python-hcl2, which `pip install 'kplan[terraform]'` brings; `.tf.json` needs nothing. Only
literals count, and the variables and locals of the same file that are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kplan.adopt.files.reading import (
    add_connector,
    add_topic,
    documents,
    mapping,
    number,
    refused,
    settings,
    written,
)
from kplan.adopt.found import Found
from kplan.diagnostics import Span, Unsupported
from kplan.model import Secret
from kplan.source import Document

REFERENCE: Final = re.compile(r"(?<![$%])\$\{\s*((?:var|local)\.[\w-]+)\s*\}")
EXPRESSION: Final = re.compile(r"(?<![$%])[$%]\{")
ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([nrt"\\]))|([$%])\4(?=\{)')
LETTERS: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
META: Final = ("__is_block__", "depends_on", "provider", "lifecycle")


class Unknown(Exception):
    """A value that only Terraform can work out."""


@dataclass(slots=True)
class _Blocks:
    """A file's resources as (type, label, body, line), and the literals of its variables and locals."""

    path: str
    found: Found = field(default_factory=Found)
    known: dict[str, Any] = field(default_factory=dict)
    resources: list[tuple[str, str, dict[str, Any], Span]] = field(default_factory=list)


def parse(path: str, text: str) -> Found:
    """The topics and connectors of the file. Raises Invalid, or Unsupported where the extra is missing."""
    blocks = _from_json(path, text) if text.lstrip().startswith("{") else _from_hcl(path, text)
    for kind, label, body, span in blocks.resources:
        if {"count", "for_each"} & body.keys():
            blocks.found.note(f"{kind}.{label} is left out: it is made by count or for_each", span)
        elif kind == "kafka_topic":
            _topic(blocks, label, body, span)
        elif kind == "kafka-connect_connector":
            _connector(blocks, label, body, span)
        else:
            blocks.found.note(f"{kind}.{label} is not carried over", span)
    return blocks.found


# -- syntax -----------------------------------------------------------------------------------------------------------
def _from_json(path: str, text: str) -> _Blocks:
    document = documents(path, text)[0]
    blocks = _Blocks(path)
    data = mapping(document, (), document.data, needed=True)
    for name, body in mapping(document, ("variable",), data.get("variable")).items():
        if isinstance(body, dict) and "default" in body:
            blocks.known[f"var.{name}"] = body["default"]
    for name, value in mapping(document, ("locals",), data.get("locals")).items():
        blocks.known[f"local.{name}"] = value
    for kind, labels in mapping(document, ("resource",), data.get("resource")).items():
        for label, body in mapping(document, ("resource", kind), labels).items():
            own = body[0] if isinstance(body, list) and body else body
            own = mapping(document, ("resource", kind, label), own, needed=True)
            blocks.resources.append((kind, label, own, document.key_at("resource", kind, label)))
    for key in data.keys() - {"variable", "locals", "resource", "terraform", "provider", "//"}:
        blocks.found.note(f"{key} is not carried over", document.key_at(key))
    return blocks


def _from_hcl(path: str, text: str) -> _Blocks:
    blocks = _Blocks(path)
    data = _parsed(path, text)
    for name, body in _labelled(data.get("variable") or []):
        if "default" in body:
            blocks.known[f"var.{name}"] = _plain(body["default"])
    for body in data.get("locals") or []:
        blocks.known |= {f"local.{name}": _plain(value) for name, value in body.items() if name not in META}
    for kind, labels in ((_bare(k), v) for block in data.get("resource") or [] for k, v in block.items()):
        for label, body in labels.items():
            if isinstance(body, dict):
                plain = {key: _plain(value) for key, value in body.items()}
                span = _place(path, text, "resource", kind, _bare(label))
                blocks.resources.append((kind, _bare(label), plain, span))
    for kind in ("module", "data"):
        for name, _ in _labelled(data.get(kind) or []):
            blocks.found.note(f"{kind} {name} is not carried over", _place(path, text, kind, name))
    return blocks


def _place(path: str, text: str, *labels: str) -> Span:
    """The line where a block begins, which python-hcl2 does not tell."""
    match = re.search(r"^[ \t]*" + r"[ \t]+".join(rf'"?{re.escape(label)}"?' for label in labels), text, re.MULTILINE)
    line = text.count("\n", 0, match.end()) + 1 if match else 0
    return Span(path, line, 1, line, 1) if line else Span(path)


def _parsed(path: str, text: str) -> Mapping[str, Any]:
    try:
        import hcl2
        from hcl2 import SerializationOptions
        from lark.exceptions import LarkError
    except ImportError as e:
        help = "pip install 'kplan[terraform]', or give the file as .tf.json"
        raise Unsupported(f"{path}: reading Terraform's HCL needs python-hcl2 (version 8)", help=help) from e
    options = SerializationOptions(with_comments=False, preserve_heredocs=False)
    try:
        data: Mapping[str, Any] = hcl2.loads(
            text if text.endswith("\n") else text + "\n", serialization_options=options
        )
    except LarkError as e:
        line, column = int(getattr(e, "line", 0) or 0), int(getattr(e, "column", 1) or 1)
        span = Span(path, line, column, line, column + 1) if line > 0 else Span(path)
        raise refused("it is no Terraform configuration here", span, "`terraform validate` says more") from e
    return data


def _labelled(blocks: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        for name, body in block.items():
            if isinstance(body, dict):
                yield _bare(name), body


def _bare(name: str) -> str:
    return name.strip('"')


def _plain(value: Any) -> Any:
    """A value as JSON syntax has it: strings without quotes, expressions within `${…}`."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    if isinstance(value, str) and not value.startswith("${"):
        return f"${{{value}}}"
    if isinstance(value, dict):
        return {_bare(key): _plain(child) for key, child in value.items() if key not in ("__is_block__",)}
    return [_plain(child) for child in value] if isinstance(value, list) else value


# -- values -----------------------------------------------------------------------------------------------------------
def _value(value: Any, known: Mapping[str, Any], depth: int = 0) -> Any:
    """The value with variables and locals put in. Raises Unknown."""
    if isinstance(value, list):
        return [_value(each, known) for each in value]
    if not isinstance(value, str):
        return value
    whole = REFERENCE.fullmatch(value)
    if whole:
        if whole[1] not in known or depth > 9:
            raise Unknown(whole[1])
        return _value(known[whole[1]], known, depth + 1)
    text = REFERENCE.sub(lambda match: written(_value(match[0], known, depth + 1)), value)
    if EXPRESSION.search(text):
        raise Unknown(value)
    return ESCAPE.sub(_unescaped, text)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else LETTERS[match[3]] if match[3] else match[4]


def _known(blocks: _Blocks, what: str, body: Mapping[str, Any], key: str, span: Span, *, needed: bool = False) -> Any:
    try:
        return _value(body.get(key), blocks.known)
    except Unknown as e:
        blocks.found.note(f"{what}: {key} is left out: only Terraform knows {e}", span)
        return Ellipsis if needed else None


def _map(blocks: _Blocks, what: str, value: Any, span: Span) -> tuple[dict[str, Any], list[str]]:
    """The entries that are known, and the keys of those that only Terraform knows."""
    if isinstance(value, list) and len(value) == 1:  # a block, as providers had it before maps
        value = value[0]
    if value is not None and not isinstance(value, dict):
        if isinstance(value, str) and EXPRESSION.search(value):
            blocks.found.note(f"{what} is left out: only Terraform knows it", span)
            return {}, []
        raise refused(f"{what} is no map", span)
    kept, unknown = {}, []
    for key, each in (value or {}).items():
        if key in META:
            continue
        try:
            kept[key] = _value(each, blocks.known)
        except Unknown:
            unknown.append(key)
    return kept, unknown


# -- resources --------------------------------------------------------------------------------------------------------
def _topic(blocks: _Blocks, label: str, body: dict[str, Any], span: Span) -> None:
    what = f"kafka_topic.{label}"
    name = _known(blocks, what, body, "name", span, needed=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise refused(f"{what} has no name", span)
    document = _document(blocks, span)
    config, unknown = _map(blocks, f"{what}: config", body.get("config"), span)
    for key in unknown:
        blocks.found.note(f"{what}: config {key} is left out: only Terraform knows it", span)
    counts = [
        number(document, (what, key), _known(blocks, what, body, key, span), -1, blocks.found)
        for key in ("partitions", "replication_factor")
    ]
    texts = settings(document, (what, "config"), config, blocks.found)
    add_topic(blocks.found, document, (), name, counts[0], counts[1], texts, protect=_protected(body))
    _rest(blocks, what, body, ("name", "partitions", "replication_factor", "config"), span)


def _connector(blocks: _Blocks, label: str, body: dict[str, Any], span: Span) -> None:
    what = f"kafka-connect_connector.{label}"
    name = _known(blocks, what, body, "name", span, needed=True)
    if name is Ellipsis:
        return
    if not isinstance(name, str) or not name:
        raise refused(f"{what} has no name", span)
    document = _document(blocks, span)
    config, unknown = _map(blocks, f"{what}: config", body.get("config"), span)
    hidden, secrets = _map(blocks, f"{what}: config_sensitive", body.get("config_sensitive"), span)
    for key in unknown:
        blocks.found.note(f"{what}: config {key} is left out: only Terraform knows it", span)
    texts = settings(document, (what, "config"), {**config, **hidden}, blocks.found)
    add_connector(blocks.found, document, (), name, texts, sensitive=hidden)
    made = blocks.found.connectors.get(name)
    if made is not None and secrets:  # of these no more is known than that they are secrets
        config_ = {**made.config, **{key: Secret() for key in secrets}}
        blocks.found.connectors[name] = replace(made, config=config_)
    _rest(blocks, what, body, ("name", "config", "config_sensitive"), span)


def _protected(body: Mapping[str, Any]) -> bool:
    lifecycle = body.get("lifecycle")
    each = lifecycle[0] if isinstance(lifecycle, list) and lifecycle else lifecycle
    return isinstance(each, dict) and each.get("prevent_destroy") is True


def _rest(blocks: _Blocks, what: str, body: Mapping[str, Any], known: tuple[str, ...], span: Span) -> None:
    for key in body:
        if key not in known and key not in META:
            blocks.found.note(f"{what}: {key} is not carried over", span)


def _document(blocks: _Blocks, span: Span) -> Document:
    return Document(blocks.path, "", None, {(): span}, {})
