"""The blocks of Terraform's files, in HCL or JSON syntax, with the place of each.

python-hcl2 reads HCL; `pip install 'kplan[terraform]'` installs it. `.tf.json` needs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from kplan.diagnostics import Span, Unsupported
from kplan.importers.reading import file_error, read_documents, read_map
from kplan.importers.resources import ImportedResources
from kplan.importers.terraform_scope import InstanceNames, TerraformScope
from kplan.language.source import Document
from kplan.values import dataclass

VARIABLES_SUFFIXES: Final = (".tfvars", ".tfvars.json")
META: Final = ("__is_block__", "depends_on", "provider", "lifecycle")
READ_KEYS: Final = ("variable", "locals", "resource", "module", "terraform", "provider", "//", *META)
MAX_CHARACTERS: Final = 2 << 20  # of a file in HCL: its reader takes a second for some 20 KB of resources
LOOPS: Final = frozenset(("count", "for_each"))
NAMES: Final = ("name", "topic_name", "connector_name")  # attributes that other resources refer to
LABELLED_BLOCKS: Final = ("data", "output", "check", "ephemeral")
HEADING: Final = re.compile(r'^[ \t]*([\w-]+)((?:[ \t]+(?:"[^"\n]*"|[\w-]+))*)', re.MULTILINE)
LABEL: Final = re.compile(r'"([^"\n]*)"|([\w-]+)')


@dataclass(frozen=True, slots=True)
class Block:
    """A resource or a call of a module, as it is written; `kind` is the type of a resource."""

    kind: str
    label: str
    body: Mapping[str, Any]
    span: Span


@dataclass(slots=True)
class TerraformFile:
    """A file's resources and calls of modules, and its variables and locals."""

    path: str
    imported: ImportedResources = field(default_factory=ImportedResources)
    scope: TerraformScope = field(default_factory=TerraformScope)
    resources: list[Block] = field(default_factory=list)
    modules: list[Block] = field(default_factory=list)

    def add_variable(self, name: str, body: Mapping[str, Any]) -> None:
        if body.get("sensitive") is True:
            self.scope.sensitive.add(f"var.{name}")
        if "default" in body:
            self.scope.values[f"var.{name}"] = body["default"]
            self.scope.defaults.add(f"var.{name}")
        if isinstance(body.get("type"), str):
            self.scope.types[f"var.{name}"] = body["type"]

    def add_resource(self, block: Block) -> None:
        self.resources.append(block)
        names = {key: block.body[key] for key in NAMES if key in block.body}
        if "name" in names and block.kind == "kafka_topic":
            names["id"] = names["name"]
        if not names:
            return
        is_looped = LOOPS & block.body.keys()
        known = InstanceNames(names, block.body, block.span) if is_looped else names
        self.scope.values[f"{block.kind}.{block.label}"] = known  # so that others may refer to it

    @property
    def is_variables_file(self) -> bool:
        return self.path.endswith(VARIABLES_SUFFIXES)


def read_file(path: str, text: str) -> TerraformFile:
    """Read one file. Raises Invalid, or Unsupported where the extra is missing."""
    return _read_json(path, text) if text.lstrip().startswith("{") else _read_hcl(path, text)


def _read_json(path: str, text: str) -> TerraformFile:
    file = TerraformFile(path)
    document = read_documents(path, text, file.imported)[0]
    data = read_map(document, (), document.data, required=True)
    if file.is_variables_file:
        file.scope.values = {f"var.{name}": value for name, value in data.items()}
        return file
    for name, body in read_map(document, ("variable",), data.get("variable")).items():
        first_body = body[0] if isinstance(body, list) and body else body
        if isinstance(first_body, dict):
            file.add_variable(name, first_body)
    for name, value in read_map(document, ("locals",), data.get("locals")).items():
        file.scope.values[f"local.{name}"] = value
    for kind, labels in read_map(document, ("resource",), data.get("resource")).items():
        for label, body in read_map(document, ("resource", kind), labels).items():
            file.add_resource(_read_block(document, ("resource", kind, label), body))
    for label, body in read_map(document, ("module",), data.get("module")).items():
        file.modules.append(_read_block(document, ("module", label), body))
    for key in (each for each in data if each not in READ_KEYS):
        file.imported.note(f"{key} is not carried over", document.key_at(key))
    return file


def _read_block(document: Document, path: tuple[str, ...], body: Any) -> Block:
    first_body = body[0] if isinstance(body, list) and body else body
    return Block(path[-2], path[-1], read_map(document, path, first_body, required=True), document.key_at(*path))


def _read_hcl(path: str, text: str) -> TerraformFile:
    file = TerraformFile(path)
    data = _parse_hcl(path, text)
    places = _locate_blocks(path, text)
    if file.is_variables_file:
        file.scope.values = {
            f"var.{_strip_quotes(name)}": _to_json_syntax(value) for name, value in data.items() if name not in META
        }
        return file
    for name, body in _list_labelled(data.get("variable") or []):
        file.add_variable(name, {key: _to_json_syntax(value) for key, value in body.items()})
    for body in data.get("locals") or []:
        file.scope.values |= {
            f"local.{name}": _to_json_syntax(value) for name, value in body.items() if name not in META
        }
    for kind, labels in ((_strip_quotes(k), v) for block in data.get("resource") or [] for k, v in block.items()):
        for label, body in _list_labelled([labels]):
            span = places.get(("resource", kind, label), Span(path))
            file.add_resource(Block(kind, label, _to_json_syntax(body), span))
    for label, body in _list_labelled(data.get("module") or []):
        file.modules.append(Block("module", label, _to_json_syntax(body), places.get(("module", label), Span(path))))
    for kind in (each for each in data if each not in READ_KEYS):
        entries = data[kind] if isinstance(data[kind], list) else [data[kind]]
        names = sorted({name for name, _ in _list_labelled([each for each in entries if isinstance(each, dict)])})
        for name in names if kind in LABELLED_BLOCKS else [""]:
            labels = (kind, *([name] if name else []))
            file.imported.note(f"{' '.join(labels)} is not carried over", places.get(labels, Span(path)))
    return file


def _locate_blocks(path: str, text: str) -> Mapping[tuple[str, ...], Span]:
    """Return the line where each block begins, by its labels and by the first of them: python-hcl2 does not give it."""
    places: dict[tuple[str, ...], Span] = {}
    line, counted_to = 1, 0
    for match in HEADING.finditer(text):
        line, counted_to = line + text.count("\n", counted_to, match.end()), match.end()
        labels = (match[1], *(quoted or bare for quoted, bare in LABEL.findall(match[2])))
        for length in range(1, min(len(labels), 3) + 1):
            places.setdefault(labels[:length], Span(path, line, 1, line, 1))
    return places


def _parse_hcl(path: str, text: str) -> Mapping[str, Any]:
    try:
        import hcl2
        from hcl2 import SerializationOptions
        from lark.exceptions import LarkError
    except ImportError as e:
        help = "pip install 'kplan[terraform]', or give the file as .tf.json"
        raise Unsupported(f"{path}: reading Terraform's HCL needs python-hcl2 (version 8)", help=help) from e
    if len(text) > MAX_CHARACTERS:
        raise file_error(f"it has more than {MAX_CHARACTERS >> 20} MiB", Span(path), "split it, or give it as .tf.json")
    options = SerializationOptions(with_comments=False, preserve_heredocs=False)
    try:
        data: Mapping[str, Any] = hcl2.loads(
            text if text.endswith("\n") else text + "\n", serialization_options=options
        )
    except LarkError as e:
        line, column = int(getattr(e, "line", 0) or 0), int(getattr(e, "column", 1) or 1)
        span = Span(path, line, column, line, column + 1) if line > 0 else Span(path)
        raise file_error("this is not Terraform configuration", span, "run `terraform validate` for details") from e
    except RecursionError as e:
        raise file_error("its blocks or expressions are nested too deeply", Span(path)) from e
    except RuntimeError as e:
        raise file_error(f"python-hcl2 cannot read it: {e}", Span(path), "`terraform validate` says more") from e
    except ValueError as e:  # of a number that Python does not read
        raise file_error("a number has too many digits", Span(path)) from e
    return data


def _list_labelled(blocks: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for block in blocks:
        for name, body in block.items():
            if isinstance(body, dict):
                yield _strip_quotes(name), body


def _strip_quotes(name: str) -> str:
    return name.strip('"')


def _to_json_syntax(value: Any) -> Any:
    """Return a value as JSON syntax has it: strings without quotes, expressions within `${…}`."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    if isinstance(value, str) and not value.startswith("${"):
        return f"${{{value}}}"
    if isinstance(value, dict):
        return {
            _strip_quotes(key): _to_json_syntax(child) for key, child in value.items() if key not in ("__is_block__",)
        }
    return [_to_json_syntax(child) for child in value] if isinstance(value, list) else value
