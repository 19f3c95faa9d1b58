"""Render a plan by the name of a view. Each is a function of the plans' documents, imported when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from json.encoder import encode_basestring
from typing import Any

from kplan.diagnostics import Diagnostic
from kplan.model import File, Target
from kplan.planning.document import FORMAT, Plan, diagnostic_to_json, to_json
from kplan.render.text import Context

VIEWS: Mapping[str, str] = {
    "text": "kplan.render.plain:render_text",
    "json": "kplan.render.views:encode_documents",
    "md": "kplan.render.markdown:render",
    "html": "kplan.render.html:render",
    "concise": "kplan.render.plain:render_concise",
    "github": "kplan.render.github:render",
    "junit": "kplan.render.junit:render",
    "sarif": "kplan.render.sarif:render",
}


def render(kind: str, documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Return the plans as `kind` shows them, with a line end at the end."""
    module, _, function = VIEWS[kind].partition(":")
    text: str = getattr(import_module(module), function)(documents, context)
    return text if text.endswith("\n") or not text else text + "\n"


def render_in_parts(kind: str, documents: Sequence[Mapping[str, Any]], context: Context) -> Iterator[str]:
    """Yield what `render` returns: a large document in parts, which need not be in memory together."""
    if kind == "json":
        yield from _iterate_documents(documents)
        yield "\n"
    else:
        yield render(kind, documents, context)


def encode_documents(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Return the documents themselves: that of one plan, or of several together (`schemas/plan.v1.json`)."""
    return "".join(_iterate_documents(documents))


def _iterate_documents(documents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    product = documents[0] if len(documents) == 1 else {"format_version": FORMAT, "plans": list(documents)}
    return _iterate_json(product, "\n")


def _iterate_json(value: object, line: str) -> Iterator[str]:
    """Yield what `_write_json` returns, by the items of a document's lists."""
    inner = f"{line}  "
    if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        for number, key in enumerate(sorted(value)):
            yield f"{',' if number else '{'}{inner}{encode_basestring(key)}: "
            yield from _iterate_json(value[key], inner)
        yield f"{line}}}"
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield f"{',' if number else '['}{inner}"
            is_document = isinstance(item, dict) and "format_version" in item
            yield from _iterate_json(item, inner) if is_document else (_write_json(item, inner),)
        yield f"{line}]"
    else:
        yield _write_json(value, line)


def _write_json(value: object, line: str) -> str:
    """Return what `json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)` does, in less time and memory.

    `line` is a line end with the indentation.
    """
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if type(value) is list and not value:
        return "[]"
    inner = f"{line}  "
    if type(value) is dict and (layout := _lay_out(tuple(value))):
        items = []
        for key, start in layout:
            item = value[key]
            write = _WRITERS.get(type(item))
            items.append(start + (_write_json(item, inner) if write is None else write(item)))
        return f"{{{inner}{f',{inner}'.join(items)}{line}}}"
    if type(value) is list:
        return f"[{inner}{f',{inner}'.join([_write_json(item, inner) for item in value])}{line}]"
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).replace("\n", line)


_WRITERS: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: str,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}


@lru_cache(maxsize=1_000)
def _lay_out(keys: tuple[object, ...]) -> Sequence[tuple[str, str]]:
    """Return the keys in their order, each with the text before its value; nothing for keys that are no texts."""
    texts = [key for key in keys if isinstance(key, str)]
    return [(key, f"{encode_basestring(key)}: ") for key in sorted(texts)] if len(texts) == len(keys) else []


# -- before there is a plan -------------------------------------------------------------------------------------------
def make_problem_document(
    stack: str, env: str, problems: Iterable[Diagnostic], created_at: str = "", files: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a document without steps, in mode `validate`: what the views show of a stack without a plan."""
    read_files = tuple(File(path, "") for path in files)
    plan = Plan(
        stack, env, Target(), files=read_files, mode="validate", diagnostics=tuple(problems), created_at=created_at
    )
    return to_json(plan)


def encode_failure(problems: Iterable[Diagnostic], exit_code: int) -> str:
    """Return one line in place of a plan's document."""
    record = {"type": "error", "exit_code": exit_code, "diagnostics": [diagnostic_to_json(p) for p in problems]}
    return json.dumps(record, ensure_ascii=False)
