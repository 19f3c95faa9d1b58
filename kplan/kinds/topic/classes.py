"""Classes of topics: settings that a stack names once, beneath those of each topic or table that names the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kplan.kinds.classes import KEY_OF_CLASS, find_class
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.topic.settings import Layer, layer, rules
from kplan.model import Rules

SECTION: Final = "classes"


def find_own_layer(context: ExpansionContext, source: str, block: Mapping[str, Any], at: KEY) -> Layer:
    """Return what a rendered block at `at` says of its topic, and beneath it what its class says. Reports K117."""
    own = layer(block, source, context.spans(at, block))
    return {**_find_class(context, block, at)[0], **own} if KEY_OF_CLASS in block else own


def find_own_rules(context: ExpansionContext, block: Mapping[str, Any], at: KEY) -> Rules:
    """Return the rules of a rendered block at `at`, and beneath them those of its class; labels count one by one."""
    if KEY_OF_CLASS not in block:
        return rules(block)
    of_class = _find_class(context, block, at)[1]
    labels = {**(of_class.get("labels") or {}), **(block.get("labels") or {})}
    return rules({**of_class, **block, "labels": labels})


def _find_class(context: ExpansionContext, block: Mapping[str, Any], at: KEY) -> tuple[Layer, Mapping[str, Any]]:
    """Return the settings and the block of the class that the block names; nothing where it names none."""
    name = block.get(KEY_OF_CLASS)
    if name is None:
        return {}, {}
    if name not in context.classes:
        context.classes[name] = _read_class(context, str(name), at)
    return context.classes[name]


def _read_class(context: ExpansionContext, name: str, at: KEY) -> tuple[Layer, Mapping[str, Any]]:
    written = find_class(context, SECTION, name, at)
    if written is None:
        return {}, {}
    path: KEY = (SECTION, name)
    rendered = context.block(written, path) or {}
    return layer(rendered, f"class {name}", context.spans(path, rendered)), rendered
