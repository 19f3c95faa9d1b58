"""What an environment of kplan.yaml says of single resources, in place of what their stacks say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, warning
from kplan.kinds.expansion import KEY, Override
from kplan.language.source import Document
from kplan.model import Stack

SECTIONS = {"topics": "topic", "connectors": "connector"}  # of an environment, each with its kind


def read_overrides(
    document: Document, at: tuple[str, ...], data: Mapping[str, Any]
) -> Mapping[str, Mapping[str, Override]]:
    """Return the overrides of the environment at `at` of kplan.yaml, by section and name; `data` is rendered."""
    return {
        section: {
            name: Override(block or {}, _find_places(document, (*at, section, name)))
            for name, block in data[section].items()
        }
        for section in SECTIONS
        if data.get(section)
    }


def _find_places(document: Document, at: KEY) -> dict[KEY, Span]:
    """Return the places of the block and of all that is in it, by their keys within it."""
    inside = (path for path in document.spans if path[: len(at)] == at and len(path) > len(at))
    return {(): document.key_at(*at)} | {path[len(at) :]: document.at(*path) for path in inside}


def find_unmatched(
    overrides: Mapping[str, Mapping[str, Override]], stacks: Sequence[Stack], environment: str
) -> Iterable[Diagnostic]:
    """Yield a warning for each override of a resource that no stack of the project declares."""
    from difflib import get_close_matches

    for section, blocks in overrides.items():
        names = {address.name for stack in stacks for address in stack.resources if address.kind == SECTIONS[section]}
        for name in blocks.keys() - names:
            close = get_close_matches(name, names, 1)
            yield warning(
                codes.K257,
                "an override of a resource that no stack declares",
                f"{SECTIONS[section]}/{name}; environment {environment}",
                help=f"it has no effect; did you mean {close[0]}?" if close else "it has no effect; remove it",
                span=blocks[name].spans.get(()),
            )
