"""`schemas:` in stack files, `schema:` of topics, and the levels of what a connector's converters register."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.expansion import KEY, AskedLevel, ExpansionContext
from kplan.kinds.language import Language
from kplan.kinds.subject.comparison import LEVEL, SCHEMA, VERSIONS
from kplan.kinds.subject.schemas import SchemaProblem, check_schema, find_type, fingerprint
from kplan.kinds.subject.subject import Reference, Subject, name_subject
from kplan.kinds.topic.settings import rules
from kplan.language.template import Scope
from kplan.model import Address, Origin

SUBJECT_KEYS = ("for_each", "subject", "file", "text", "type", "compatibility", "references", "protect", "ignore",
                "accept")  # fmt: skip
PARTS: Final = ("value", "key")  # of a topic's records, and the ends of their subjects' names (TopicNameStrategy)
MAX_BYTES: Final = 1_000_000  # a record of the registry's own topic, and of kplan's journal, is no larger


class SubjectLanguage(Language):
    removal_words = ("subject",)
    removal_keys = ("versions", "hard")
    key_order = {
        "stack": {
            ("schemas", "*"): SUBJECT_KEYS,
            ("topics", "*", "schema"): ("value", "key", "compatibility", "…"),
            ("connectors", "*", "schemas"): ("format", "converter", "compatibility", "…"),
        }
    }

    def expand(self, context: ExpansionContext) -> None:
        for key in context.document.data.get("schemas") or {}:
            path: KEY = ("schemas", key)
            block = context.document.data["schemas"][key] or {}
            for scope in context.scopes(block, path, key):
                _expand_block(context, path, block, scope)
        for key, block in (context.document.data.get("topics") or {}).items():
            if isinstance(block, Mapping) and block.get("schema"):
                for scope in context.scopes(block, ("topics", key), key):
                    _expand_topic(context, key, block, scope)

        for asked in context.asked_levels:
            _declare_level(context, asked)
        for number, entry in enumerate(context.document.data.get("removed") or []):
            if isinstance(entry, Mapping) and entry.get("versions"):
                _remove_versions(context, ("removed", number), entry)

    def read_removal(self, entry: Mapping[str, Any]) -> tuple[str, bool] | None:
        """Return the subject; None, too, where single versions of it go, because the subject stays."""
        if entry.get("subject") is None or entry.get("versions"):
            return None
        return name_subject(str(entry["subject"])), False

    def check(self, context: ExpansionContext) -> Iterator[Diagnostic]:
        """Yield what no registry would take: schemas that cannot be parsed, and an environment without a registry."""
        subjects = [each for each in context.resources.values() if isinstance(each, Subject)]
        if subjects and not context.surroundings.has_registry:
            first = subjects[0]
            yield error(
                codes.K275,
                "this environment has no schema registry",
                f"{first.subject_name}, one of {len(subjects)}; environment {context.surroundings.name}",
                help="add `schema_registry: {url: …}` to the environment",
                span=first.origin.span,
                address=first.address,
            )
        by_name = {each.subject_name: each for each in subjects}
        for subject in subjects:
            if subject.text:
                yield from _check_text(subject, by_name)


def _check_text(subject: Subject, by_name: Mapping[str, Subject]) -> Iterator[Diagnostic]:
    """Yield what is wrong with a schema; names that it refers to are known if its references give them."""
    texts = [by_name[each.subject].text for each in subject.references if each.subject in by_name]
    names = [each.name for each in subject.references]
    try:
        check_schema(subject.schema_type, subject.text, names, texts)
    except SchemaProblem as e:
        yield error(
            codes.K277,
            "this is not a schema",
            f"{subject.file}: {e}" if subject.file else f"{subject.subject_name}, line {e.line}: {e}",
            help=e.help,
            span=Span(subject.file, e.line, e.column) if subject.file else subject.origin.at(SCHEMA),
            address=subject.address,
        )


def _expand_block(context: ExpansionContext, path: KEY, block: Mapping[str, Any], scope: Scope) -> None:
    name = context.value(path[1], path, scope)
    own = context.block({k: v for k, v in block.items() if k != "for_each"}, path, scope)
    if name is not None and own is not None:
        _declare(context, str(own.get("subject") or name), own, path, ("file",))


def _expand_topic(context: ExpansionContext, key: str, block: Mapping[str, Any], scope: Scope) -> None:
    path: KEY = ("topics", key, "schema")
    topic = context.value(key, ("topics", key), scope)
    own = context.value(block["schema"], path, scope)
    if topic is None or not isinstance(own, Mapping):
        return
    for part in PARTS:
        if own.get(part) is None:
            continue
        given = own[part] if isinstance(own[part], Mapping) else {"file": own[part]}
        common = {key: own[key] for key in ("compatibility", "accept", "protect", "ignore") if key in own}
        at = (part, "file") if isinstance(own[part], Mapping) else (part,)
        _declare(context, f"{topic}-{part}", {**common, **given}, path, at)


def _declare(context: ExpansionContext, subject: str, own: Mapping[str, Any], path: KEY, at: KEY) -> None:
    """Add one subject; `at` is where in the block its file stands."""
    level = own.get("compatibility")
    spans = {LEVEL: context.document.at(*path, "compatibility")} if level else {}
    file, text, schema_type = "", "", ""
    if own.get("file") is not None:
        spans[SCHEMA] = context.document.at(*path, *at)
        read = context.read_text(str(own["file"]), (*path, *at), MAX_BYTES)
        if read is None:
            return
        file, text = read
        schema_type = str(own.get("type") or find_type(file))
        if not schema_type:
            help = "add `type: avro`, `json` or `protobuf`, or name the file *.avsc, *.json or *.proto"
            context.report(codes.K278, "a schema file without a type", file, (*path, *at), help)
            return
    elif own.get("text") is not None:
        spans[SCHEMA] = context.document.at(*path, "text")
        text, schema_type = str(own["text"]), str(own.get("type") or "avro")
    elif level is None:
        context.report(codes.K278, "a subject without file and level", subject, path, "add `file:` or `compatibility:`")
        return
    context.add(
        Subject(
            name_subject(subject),
            schema_type,
            fingerprint(schema_type, text) if text else "",
            tuple(_read_references(own.get("references") or ())),
            level,
            text=text,
            file=file,
            origin=Origin(context.document.key_at(*path), spans, note=file),
            rules=rules(own),
        )
    )


def _remove_versions(context: ExpansionContext, path: KEY, entry: Mapping[str, Any]) -> None:
    """Note the versions that are to go with the subject that stays."""
    subject = context.value(entry.get("subject"), path, context.scope)
    address = Address(Subject.kind, name_subject(str(subject)))
    declared = context.resources.get(address)
    if not isinstance(declared, Subject) or declared.is_level_only:
        help = "declare the schema that is to be the latest, or remove the whole subject"
        context.report(
            codes.K278, "versions of a subject that is not declared", str(subject), (*path, "versions"), help
        )
        return
    if entry.get("hard") or entry.get("keep"):
        key = "hard" if entry.get("hard") else "keep"
        help = "versions are deleted softly: leave the key out"
        context.report(codes.K278, f"versions with `{key}`", str(subject), (*path, key), help)
        return
    accepted = replace(declared.rules, accept=declared.rules.accept | frozenset(entry.get("accept") or ()))
    spans = {**declared.origin.spans, VERSIONS: context.document.at(*path, "versions")}
    origin = replace(declared.origin, spans=spans)
    versions = tuple(sorted(set(entry["versions"])))
    context.resources[address] = replace(declared, unwanted=versions, rules=accepted, origin=origin)


def _read_references(entries: Collection[Any]) -> Iterator[Reference]:
    for entry in entries:
        subject = str(entry["subject"])
        yield Reference(str(entry.get("name") or subject), subject, entry.get("version"))


def _declare_level(context: ExpansionContext, asked: AskedLevel) -> None:
    """Add the level of what a connector's converters register; a subject's own block says more, and is kept."""
    span, place = context.document.key_at(*asked.path), context.document.at(*asked.path, "compatibility")
    origin = Origin(span, {LEVEL: place}, note=f"of connector/{asked.connector}")
    for name in (name_subject(f"{topic}-{part}") for topic in asked.topics for part in reversed(PARTS)):
        if Address(Subject.kind, name) not in context.resources:
            context.add(Subject(name, level=asked.level, origin=origin, rules=asked.rules))
