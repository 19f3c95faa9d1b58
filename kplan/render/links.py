"""Link places in files to the commit that holds them, and resources to a user interface, where these are on the web."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from kplan.diagnostics import Span
from kplan.render.findings import move_to_root
from kplan.render.text import Context

WEB_ADDRESS = re.compile(r"https?://[!-~]{1,500}")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
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


def make_resource_url(document: Mapping[str, Any], change: Mapping[str, Any]) -> str:
    """Return the address of a resource in the environment's user interface; empty for one that is not there yet."""
    pattern = (document.get("links") or {}).get(change["kind"], "")
    if not pattern or change["before"] is None:
        return ""
    name = change.get("moved_from", change["address"]).partition("/")[2]
    server, _, own = name.rpartition("/")
    values = {"name": own, "server": server or "default", "env": document["stack"]["env"]}
    address = PLACEHOLDER.sub(lambda match: quote(values.get(match[1], match[0]), safe=""), pattern)
    return address if WEB_ADDRESS.fullmatch(address) else ""


def add_urls(document: Mapping[str, Any], context: Context) -> Mapping[str, Any]:
    """Return the document with a `url` at each resource that a user interface shows, and at each place of a step or a
    problem that can be seen on the web."""
    if document.get("links"):
        urls = [make_resource_url(document, change) for change in document["changes"]]
        changes = [{**each, "url": url} if url else each for each, url in zip(document["changes"], urls, strict=True)]
        document = {**document, "changes": changes}
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
