"""Recognizes files of other kinds where a stack, or a file to import, is expected: what a file is, and what to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.values import dataclass

LONGEST: Final = 200_000  # characters that are looked at
MOST_LINES: Final = 200

TERRAFORM: Final = re.compile(
    r'^[ \t]*(?:resource|variable|provider|terraform|locals|module|data|output|moved|import|check)\b[ \t]*["{]', re.M
)
DESCRIBED: Final = re.compile(r"^[ \t]*Topic:[ \t]*\S+[ \t]+(?:TopicId:|PartitionCount:|Partition:)", re.M)
_STACK: Final = re.compile(r"^[{ \t]*\"?stack\"?[ \t]*:", re.M)
_SECTION: Final = re.compile(r"^(?:topics|connectors|variables|defaults|guards|removed)[ \t]*:", re.M)
_HTML: Final = re.compile(r"\A\s*<(?:!doctype html|html)\b", re.I)
_HELM: Final = re.compile(
    r"\{\{-?\s*(?:(?:range|with|include|template|define|end|toYaml)\b|(?:if\s+)?\(?[^}\n]*\.(?:Values|Release|Chart)\b)"
)
_JINJA: Final = re.compile(r"\{%-?\s*(?:for|if|set|macro|include|import|block|extends|raw)\b")
_VERSION: Final = re.compile(r"^[ \t]*-?[ \t]*\"?apiVersion\"?[ \t]*:[ \t]*[\"']?([\w./-]+)", re.M)
_KIND: Final = re.compile(r"^[ \t]*\"?kind\"?[ \t]*:[ \t]*[\"']?(\w+)", re.M)
_TOOL: Final = re.compile(r"^[ \t]*(?:\$[ \t]+)?(?:[\w./-]*/)?kafka-(?:topics|configs)(?:\.sh)?[ \t]+-", re.M)
_CURL: Final = re.compile(r"^[ \t]*(?:\$[ \t]+)?curl[ \t]", re.M)
_SCRIPT: Final = re.compile(r"\A#!.*\b(?:ba|z|da|k)?sh\b")
_PLAN_COMMENT: Final = re.compile(r"\A<!-- kplan:")
_MARKDOWN: Final = re.compile(r"^(?:```|~~~|\|[ :|-]*-[ :|-]*\|[ \t]*$)", re.M)
_PROPERTY: Final = re.compile(r"[\w.$-]+[ \t]*=.*")
CLASS_PROPERTY: Final = re.compile(r"^connector\.class[ \t]*=", re.M)


@dataclass(frozen=True, slots=True)
class Mistaken:
    """What a file is instead, in words, and what to do with it.

    `offset` is where that shows, -1: in no line that may be printed. `format` is the one in which `kplan import` reads
    the file.
    """

    what: str
    help: str
    offset: int = -1
    format: str = ""

    def not_a_stack(self, path: str, text: str) -> Diagnostic:
        """Return the error where a stack is expected."""
        return error(codes.K113, "this file is not a stack", f"{path} is {self.what}.", help=self.help,
                     span=_line(path, text, self.offset))  # fmt: skip

    def not_importable(self, path: str, text: str) -> Diagnostic:
        """Return the error where a file to import is expected."""
        return error(codes.K630, "a file of no known format", f"{path} is {self.what}.", help=self.help,
                     span=_line(path, text, self.offset))  # fmt: skip


def recognize(path: str, text: str, data: Any = None) -> Mistaken | None:
    """Return what a file is that is not a stack; None where it may be a stack with errors. `data`: what YAML makes of
    it.
    """
    text = text[:LONGEST]
    own = _of_kplan(path, data) if isinstance(data, dict) else None
    if own is not None:
        return own
    if isinstance(data, dict) and "stack" in data:
        return None
    if _STACK.search(text) and not isinstance(data, dict):
        return None
    for test in _TESTS:
        found = test(path, text)
        if found is not None:
            return found
    return _by_data(path, data) if isinstance(data, dict | list) else None


def _line(path: str, text: str, offset: int) -> Span:
    """Return the line of the offset; the whole file where there is none."""
    if offset < 0:
        return Span(path)
    number = text.count("\n", 0, offset) + 1
    start = text.rfind("\n", 0, offset) + 1
    end = text.find("\n", start)
    line = (text[start:] if end < 0 else text[start:end]).rstrip()
    indent = len(line) - len(line.lstrip())
    return Span(path, number, indent + 1, number, len(line) + 1)


def _read(path: str) -> str:
    """Return the command that makes a stack of the file."""
    return f"kplan import --file {shlex.quote(path)}"


# -- kplan's own files ------------------------------------------------------------------------------------------------
def _of_kplan(path: str, data: Mapping[str, Any]) -> Mistaken | None:
    name = shlex.quote(path)
    if "environments" in data and "stack" not in data:
        help = f"name a stack instead; `kplan validate {name}` checks this file"
        return Mistaken("the file of the environments", help)
    if "format_version" in data and ("plans" in data or "changes" in data):
        help = f"apply it alone: `kplan apply {name}`; `kplan show {name}` shows it"
        return Mistaken("a saved plan", help)
    if "format_version" in data and "taken_at" in data:
        return Mistaken("a snapshot of live state", f"plan a stack from it: `kplan plan STACK --live {name}`")
    if "template" in data and "stack" not in data and ("class" in data or "extends" in data or "parameters" in data):
        help = "keep it in templates/ beside the stacks, and name it in a connector: `template: NAME`"
        return Mistaken("a connector template", help)
    return None


_WRITTEN: Final = "a stack is YAML: `kplan init` writes a first one, `kplan import` makes one of what exists"


# -- by the text ------------------------------------------------------------------------------------------------------
def _terraform(path: str, text: str) -> Mistaken | None:
    found = TERRAFORM.search(text)
    if not found and not path.endswith((".tf", ".tfvars")):
        return None
    help = f"make a stack of it: `{_read(path)}`; repeat --file for each .tf file of its folder"
    return Mistaken("Terraform configuration", help, found.start() if found else -1, "terraform")


def _html(path: str, text: str) -> Mistaken | None:
    if not _HTML.search(text):
        return None
    return Mistaken("an HTML page", _VIEW)


_VIEW: Final = "a view of a plan cannot be applied: `kplan plan STACK --out plan.json`, then `kplan apply plan.json`"


def _helm(path: str, text: str) -> Mistaken | None:
    found = _HELM.search(text)
    if not found:
        return None
    help = "render it first: `helm template CHART > rendered.yaml`, then `kplan import --file rendered.yaml`"
    return Mistaken("a Helm template", help, found.start())


def _jinja(path: str, text: str) -> Mistaken | None:
    found = _JINJA.search(text)
    if not found:
        return None
    if "jikkou" in text:
        help = f"render it first: `jikkou prepare --files {shlex.quote(path)} --values-files VALUES > rendered.yaml`, "
        return Mistaken("a Jikkou template", f"{help}then `kplan import --file rendered.yaml`", found.start())
    help = "render it first: a stack repeats topics with `for_each:`, and takes `{{ … }}` in quoted values only"
    return Mistaken("a Jinja template", help, found.start())


def _kubernetes(path: str, text: str) -> Mistaken | None:
    versions = list(_VERSION.finditer(text))
    if not versions:
        return None
    tools = (
        ("strimzi", "strimzi.io", "Strimzi"),
        ("confluent", "platform.confluent.io", "Confluent"),
        ("jikkou", "jikkou.io", "Jikkou"),
    )
    for format, group, tool in tools:
        found = next((each for each in versions if group in each[1]), None)
        if found:
            kind = _KIND.search(text, *_document_around(text, found.start()))
            what = f"a {tool} {kind[1]}" if kind else f"a manifest of {tool}"
            return Mistaken(what, f"make a stack of it: `{_read(path)}`", found.start(), format)
    kind = _KIND.search(text)
    if not kind:
        return None
    help = (
        "of Kubernetes, `kplan import --file FILE` reads KafkaTopic and KafkaConnector of Strimzi, its KafkaUser, "
        "and KafkaTopic and Connector of Confluent"
    )
    return Mistaken(f"a Kubernetes manifest ({kind[1]})", help, versions[0].start())


def _document_around(text: str, offset: int) -> tuple[int, int]:
    """Return where the YAML document that holds the offset begins and ends."""
    end = text.find("\n---", offset)
    return max(text.rfind("\n---", 0, offset), 0), len(text) if end < 0 else end


def _by_description(path: str, text: str) -> Mistaken | None:
    found = DESCRIBED.search(text)
    if not found:
        return None
    return Mistaken("the output of kafka-topics --describe", f"make a stack of it: `{_read(path)}`", found.start(),
                    "describe")  # fmt: skip


def _markdown(path: str, text: str) -> Mistaken | None:
    if _PLAN_COMMENT.search(text):
        return Mistaken("a view of a plan, in Markdown", _VIEW)
    named = path.lower().endswith((".md", ".markdown"))
    if not named and (_SECTION.search(text) or not _MARKDOWN.search(text)):
        return None
    return Mistaken("a Markdown text", _WRITTEN)


def _script(path: str, text: str) -> Mistaken | None:
    if _SECTION.search(text):
        return None
    found = _TOOL.search(text)
    if found:
        help = f"make a stack of what it creates: `{_read(path)}`; kplan reads it and runs nothing"
        return Mistaken("a script that calls Kafka's tools", help, format="script")
    if _CURL.search(text):
        help = f"make a stack of the connectors that it sends: `{_read(path)}`; kplan reads it and runs nothing"
        return Mistaken("a script that calls curl", help, format="script")
    if not _SCRIPT.search(text):
        return None
    return Mistaken("a shell script", _WRITTEN)


def _properties(path: str, text: str) -> Mistaken | None:
    found = CLASS_PROPERTY.search(text)
    lines = [line.strip() for line in text.splitlines()[:MOST_LINES]]
    lines = [line for line in lines if line and not line.startswith(("#", "!"))]
    fitting = sum(1 for line in lines if _PROPERTY.fullmatch(line))
    if not found and not (lines and fitting * 2 > len(lines) and not _SECTION.search(text)):
        return None
    if not found:
        return Mistaken("a file of properties", _WRITTEN)
    help = f"make a stack of it: `{_read(path)}`"
    return Mistaken("a .properties file of Kafka Connect", help, format="properties")


_TESTS: Final[tuple[Callable[[str, str], Mistaken | None], ...]] = (
    _html, _terraform, _helm, _jinja, _kubernetes, _by_description, _markdown, _script, _properties,
)  # fmt: skip


# -- by the data ------------------------------------------------------------------------------------------------------
def _by_data(path: str, data: dict[str, Any] | list[Any]) -> Mistaken | None:
    """Recognize other tools' files that are valid YAML or JSON, and have keys of their own."""
    first = data if isinstance(data, dict) else next(iter(data), None)
    for format, what, fits in _formats(first) if isinstance(first, dict) else ():
        if fits:
            return Mistaken(what, f"make a stack of it: `{_read(path)}`", format=format)
    return None


def _formats(data: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    config = data.get("config")
    yield (
        "connect",
        "a connector in Connect's JSON",
        "connector.class" in data or (isinstance(config, dict) and "connector.class" in config),
    )
    answers = [each for each in data.values() if isinstance(each, dict)]
    yield "connect", "an answer of Kafka Connect", bool(answers) and all("info" in each for each in answers)
    yield "topicctl", "a topic of topicctl", isinstance(data.get("meta"), dict) and isinstance(data.get("spec"), dict)
    yield "julie", "a topology of JulieOps", isinstance(data.get("projects"), list)
    yield "topics", "a file of topics under `kafka:`", isinstance(data.get("kafka"), dict) and "topics" in data["kafka"]
    topics = data.get("topics")
    blocks = [each for each in topics.values() if isinstance(each, dict)] if isinstance(topics, dict) else []
    services = bool({"customServiceAcls", "customUserAcls", "services", "users"} & data.keys())
    yield (
        "kafka-gitops",
        "a state of kafka-gitops",
        services or any({"replication", "configs"} & b.keys() for b in blocks),
    )


__all__ = ["DESCRIBED", "TERRAFORM", "Mistaken", "recognize"]
