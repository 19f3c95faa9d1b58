"""Topics in stack files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.expansion import KEY, ExpansionContext, Override
from kplan.kinds.language import Language
from kplan.kinds.topic import collisions, internal
from kplan.kinds.topic.classes import find_own_layer, find_own_rules
from kplan.kinds.topic.settings import BUILT_IN, Layer, TopicSetting, layer, stack_layers
from kplan.model import STATE_TOPIC

TOPIC_KEYS = ("for_each", "topic", "role", "partitions", "replication_factor", "config", "ignore_topic", "…",
              "protect", "ignore", "accept")  # fmt: skip


class TopicLanguage(Language):
    removal_words = ("topic",)
    is_named_by_guards = True
    key_order = {
        "stack": {("defaults", "topic"): TOPIC_KEYS, ("classes", "*"): TOPIC_KEYS, ("topics", "*"): TOPIC_KEYS},
        "environments": {("environments", "*", "defaults", "topic"): TOPIC_KEYS},
        "template": {("topics", "*"): TOPIC_KEYS, ("defaults", "topic"): TOPIC_KEYS},
    }

    def expand(self, context: ExpansionContext) -> None:
        data = context.document.data
        context.outer = find_defaults(context, data)
        context.topics.overrides = find_overrides(context)
        for key in data.get("topics") or {}:
            _expand_block(context, key)

    def check(self, context: ExpansionContext) -> Iterator[Diagnostic]:
        yield from _refuse_own_state(context)
        yield from collisions.find_collisions(context.resources.values())


def find_defaults(context: ExpansionContext, data: Mapping[str, Any]) -> list[Layer]:
    """Return what topics have where they say nothing: from the stack, the environment and the process."""
    written = (data.get("defaults") or {}).get("topic") or {}
    own = (context.block({"topic": written}, ("defaults",)) or {}).get("topic") or {}
    environment = context.surroundings
    spans = context.spans(("defaults", "topic"), written)
    return [
        layer(own, "stack defaults", spans),
        layer(environment.defaults.get("topic") or {}, f"environment {environment.name}", {}),
        {path: TopicSetting(value.strip(), name) for path, (value, name) in environment.fills.items()},
    ]


def find_overrides(context: ExpansionContext) -> dict[str, Layer]:
    """Return what the environment says of single topics, by their names."""
    environment = context.surroundings
    source = f"override of environment {environment.name}"
    return {
        name: layer(override.data, source, _flatten_places(override))
        for name, override in environment.overrides.get("topics", {}).items()
    }


def _flatten_places(override: Override) -> dict[str, Span]:
    """Return the places of the settings by their paths, those of values with `=` behind, as `layer` takes them."""
    places: dict[str, Span] = {}
    for path, span in override.spans.items():
        if path and path != ("config",):
            places |= dict.fromkeys(("/" + "/".join(map(str, path)), "/" + "/".join(map(str, path)) + "="), span)
    return places


def _expand_block(context: ExpansionContext, key: str) -> None:
    path: KEY = ("topics", key)
    block = context.document.data["topics"][key] or {}
    for scope in context.scopes(block, path, key):
        name = context.value(key, path, scope)
        if name is None:
            continue
        own = context.block({k: v for k, v in block.items() if k != "for_each"}, path, scope)
        if own is None:
            continue
        settings = context.written[str(name)] = find_own_layer(context, "topic", own, path)
        span = context.document.key_at(*path)
        layers = stack_layers([BUILT_IN, *context.outer, settings])
        context.add(context.topics.topic(str(name), layers, span, "", find_own_rules(context, own, path)))


def _refuse_own_state(context: ExpansionContext) -> Iterable[Diagnostic]:
    """Report the topic of kplan's own state, which a stack cannot declare."""
    for name in {STATE_TOPIC, context.surroundings.kafka_topic}:
        declared = context.resources.get(internal.state_address(name))
        if declared is not None:
            yield error(
                codes.K243,
                "a stack cannot declare kplan's own state",
                name,
                span=declared.origin.span,
                help="remove it from the stack; one that owns it gives it up with its next apply, and the topic stays",
            )
