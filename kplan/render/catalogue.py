"""Render the catalogue: one HTML page with everything that the stacks declare, which needs no server and no network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kplan.kinds.registry import KINDS
from kplan.render.html import SURROGATES, make_environment, make_policy, read_part
from kplan.render.links import make_source_url
from kplan.render.steps import format_attribute
from kplan.render.text import Context, clean
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.inspect.catalogue import CatalogueEntry
    from kplan.kinds.views import Retention


@dataclass(frozen=True, slots=True)
class CatalogueHead:
    """What the page says about itself, and the commit of the files; empty where it is not known."""

    env: str
    made_at: str
    commit: str = ""


def render_catalogue(entries: Sequence[CatalogueEntry], head: CatalogueHead, context: Context) -> str:
    """Return the page. What comes from a stack is data in it, and only its script shows it, as text."""
    from markupsafe import Markup

    style, script = read_part("plan.css") + read_part("catalogue.css"), read_part("catalogue.js")
    data = _encode([_encode_entry(entry, head, context) for entry in entries])
    text = make_environment().get_template("catalogue.html.j2").render(
        head=head,
        retentions=Markup(_encode(_list_retentions(entries))),
        nouns=json.dumps({name: [kind.views.singular or name, kind.views.plural] for name, kind in KINDS.items()}),
        style=Markup(style),
        script=Markup(script),
        data=Markup(clean(data)),
        policy=make_policy(style, script),
    )  # fmt: skip
    return SURROGATES.sub("�", text)


def _encode(value: Any) -> str:
    """Return JSON that cannot end the element that it stands in."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return data


def _find_retention(entry: CatalogueEntry) -> Retention | None:
    return KINDS[entry.kind].views.describe_retention(entry.fields) if entry.fields else None


def _list_retentions(entries: Sequence[CatalogueEntry]) -> list[str]:
    """Return each retention once, the shortest first, and last what the stacks do not say."""
    found = {retention for entry in entries if (retention := _find_retention(entry))}
    return [each.text for each in sorted(found, key=lambda each: (each.ms is None, each.ms or 0, each.text))]


def _encode_entry(entry: CatalogueEntry, head: CatalogueHead, context: Context) -> Mapping[str, Any]:
    """Return what the page's script reads; keys that would be empty are left out."""
    place = dict(zip(("path", "line"), entry.place, strict=True)) if entry.place else None
    attributes = list(_list_attributes(entry))
    retention = _find_retention(entry)
    known = {
        "address": entry.address,
        "kind": entry.kind,
        "name": entry.name,
        "stack": entry.stack,
        "team": entry.team,
        "labels": [f"{key}={value}" for key, value in entry.labels.items()],
        "description": entry.description,
        "place": ":".join(map(str, entry.place)) if entry.place else "",
        "url": make_source_url({"stack": {"commit": head.commit}}, place, context),
        "summary": KINDS[entry.kind].views.summarize(entry.fields) if entry.fields else "",
        "retention": retention.text if retention else "",
        "attributes": [[key, value, entry.sources.get(path, "")] for path, key, value in attributes],
        "text": entry.text,
        "fed_by": entry.fed_by,
        "feeds": entry.feeds,
        "related": entry.related,
    }
    return {key: value for key, value in known.items() if value}


def _list_attributes(entry: CatalogueEntry) -> Iterator[tuple[str, str, str]]:
    """Yield path, name and value of each attribute, those of a nested map one by one; a secret has no value."""
    for key, value in entry.fields.items():
        if isinstance(value, Mapping) and not value.get("sensitive"):
            for inner, each in value.items():
                yield f"/{key}/{inner}", inner, _format(inner, each)
        elif value not in (None, [], ""):
            yield f"/{key}", key.replace("_", " "), _format(key, value)


def _format(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return str(format_attribute(key, dict(value))) if value.get("sensitive") else json.dumps(value)
    if isinstance(value, list):
        return ", ".join(_iterate_texts(value))
    return str(format_attribute(key, value))


def _iterate_texts(values: Iterable[Any]) -> Iterator[str]:
    yield from (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)
