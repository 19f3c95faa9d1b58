"""The published schemas, with the parts of all kinds that are registered."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from kplan.kinds.registry import KINDS
from kplan.language import schema

PUBLISHED_KINDS = ("topic", "connector", "user", "acl", "quota", "subject")  # whose parts the files in schemas/ hold


def read_schema(name: str) -> dict[str, Any]:
    """Return the schema `name`, such as `stack.v1`. Raises FileNotFoundError. Do not change the result."""
    return _read(name, tuple(KINDS))


def read_tolerant_schema(name: str) -> dict[str, Any]:
    """Return the schema `name` as a reader applies it to documents of later versions.

    It checks the types of what it describes, and accepts unknown keys and unknown words of enumerations.
    """
    return _read_tolerant(name, tuple(KINDS))


@cache
def _read_tolerant(name: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    return schema.tolerate(_read(name, kinds))


@cache
def _read(name: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    published = schema.read_schema(name)
    if kinds == PUBLISHED_KINDS:
        return published
    whole: dict[str, Any] = _name_kinds(published, kinds)
    for kind in kinds:
        fragments = KINDS[kind].language.fragments
        whole = _merge(whole, fragments.get(name, {}))
    return whole


def _name_kinds(part: Any, kinds: tuple[str, ...]) -> Any:
    """Return the schema with the names of all kinds where it has those of the published ones."""
    if isinstance(part, dict):
        return {key: _name_kinds(value, kinds) for key, value in part.items()}
    if isinstance(part, list):
        return list(kinds) if part == list(PUBLISHED_KINDS) else [_name_kinds(each, kinds) for each in part]
    if isinstance(part, str):
        part = part.replace("|".join(PUBLISHED_KINDS), "|".join(kinds))
        forms = [[f"{kind}/NAME" for kind in names] for names in (PUBLISHED_KINDS, kinds)]
        return part.replace(" or ".join(forms[0]), " or ".join(forms[1]))
    return part


def _merge(whole: Any, part: Any) -> Any:
    """Return both together: maps are merged key by key, and lists are joined without what is there already."""
    if isinstance(whole, Mapping) and isinstance(part, Mapping):
        return {**whole, **{key: _merge(whole[key], value) if key in whole else value for key, value in part.items()}}
    if isinstance(whole, list) and isinstance(part, list):
        return [*whole, *(each for each in part if each not in whole)]
    return part
