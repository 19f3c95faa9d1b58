"""The canonical order of keys in stack files, environments and templates, with the keys of all kinds."""

from __future__ import annotations

from collections.abc import Mapping

from kplan.kinds.registry import KINDS
from kplan.language.fmt import KeyOrders, Order

_VARIABLE = ("type", "default", "env", "sensitive", "minimum", "maximum", "pattern", "enum", "description")
_STACK = ("version", "stack", "description", "team", "labels", "include", "variables", "defaults", "classes",
          "connector_classes")  # fmt: skip
_ENVIRONMENT = ("kafka", "connect", "authorizer", "state", "variables", "defaults", "topics", "connectors", "links",
                "guards", "timeouts", "retry", "notify", "simulated")  # fmt: skip
_TEMPLATE = ("version", "template", "description", "extends", "class", "parameters", "config", "table", "columns",
             "topics", "defaults", "unique", "values", "renamed")  # fmt: skip


def read_key_orders() -> KeyOrders:
    """Return the order of keys in each kind of file, those of each kind of resource in the order of the kinds."""
    languages = [kind.language for kind in KINDS.values()]
    sections = tuple(kind.section for kind in KINDS.values())
    words = tuple(word for language in languages for word in language.removal_words)
    removal = tuple(key for language in languages for key in language.removal_keys)
    guards = ("create", "max_changes", "naming", *KINDS)
    stack: Mapping[tuple[str, ...], tuple[str, ...]] = {
        (): (*_STACK, *sections, "removed", "moved", "guards"),
        ("variables", "*"): _VARIABLE,
        ("removed", "*"): (*words, "accept", "keep", *removal),
        ("moved", "*"): ("from", "to"),
        ("guards",): guards,
    }
    environments = {
        (): ("version", "default", "environments"),
        ("environments", "*"): _ENVIRONMENT,
        ("environments", "*", "authorizer"): ("principal", "super_user", "allow_everyone_if_no_acl"),
        ("environments", "*", "guards"): guards,
    }
    return KeyOrders(_join(stack, "stack"), _join(environments, "environments"), _join({(): _TEMPLATE}, "template"))


def _join(common: Order, document: str) -> Order:
    """Return the order of one kind of file, with what each kind of resource adds."""
    whole = dict(common)
    for kind in KINDS.values():
        whole |= kind.language.key_order.get(document, {})
    return whole
