"""Link places in files to the commit that holds them, where the CI service shows its files on the web."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kplan.diagnostics import Span
from kplan.render.findings import move_to_root
from kplan.render.text import Context

WEB_ADDRESS = re.compile(r"https?://[!-~]{1,500}")
COMMIT = re.compile(r"[0-9a-f]{7,40}")


def make_source_url(document: Mapping[str, Any], source: Mapping[str, Any] | None, context: Context) -> str:
    """Return the web address of a place; empty where there is none. `source` has a path and a line.

    `context.source_url` has {commit}, {path} and {line} in it.
    """
    commit = document["stack"]["commit"]
    if not (context.source_url and source and source.get("path") and COMMIT.fullmatch(commit)):
        return ""
    path = move_to_root(Span(source["path"]), context.base).path
    if path.startswith(("/", "..")):
        return ""
    address = context.source_url.replace("{commit}", commit).replace("{path}", quote(path))
    address = address.replace("{line}", str(source.get("line") or 1))
    return address if WEB_ADDRESS.fullmatch(address) else ""


def add_source_urls(document: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Return the document with a `url` at the place of each step and problem that can be seen on the web."""
    if not context.source_url:
        return document

    def add(source: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        url = make_source_url(document, source, context)
        return {**source, "url": url} if source and url else source

    changes = [{**change, "source": add(change["source"])} for change in document["changes"]]
    return {**document, "changes": changes, "diagnostics": [add(each) for each in document["diagnostics"]]}


def find_url(source: Mapping[str, Any] | None) -> str:
    """Return the `url` of a place; empty where it has none."""
    return str((source or {}).get("url", ""))
