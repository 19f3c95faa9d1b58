"""`users:` in stack files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.expansion import KEY, ExpansionContext
from kplan.kinds.language import Language
from kplan.kinds.topic.settings import rules
from kplan.kinds.user.comparison import PASSWORD, name_path
from kplan.kinds.user.user import DEFAULT_ITERATIONS, ScramUser, name_user
from kplan.language.template import Scope
from kplan.model import Origin, Secret, frozen

USER_KEYS = ("for_each", "mechanism", "iterations", "password", "previous_password", "protect", "ignore", "accept")
PASSWORDS = ("password", "previous_password")


class UserLanguage(Language):
    removal_words = ("user",)
    key_order = {"stack": {("users", "*"): USER_KEYS}}

    def expand(self, context: ExpansionContext) -> None:
        for key in context.document.data.get("users") or {}:
            path: KEY = ("users", key)
            block = context.document.data["users"][key] or {}
            for scope in context.scopes(block, path, key):
                _expand_user(context, path, block, scope)

    def read_removal(self, entry: Mapping[str, Any]) -> tuple[str, bool] | None:
        return None if entry.get("user") is None else (name_user(str(entry["user"])), False)


def _expand_user(context: ExpansionContext, path: KEY, block: Mapping[str, Any], scope: Scope) -> None:
    name = context.value(path[1], path, scope)
    own = context.block({k: v for k, v in block.items() if k != "for_each"}, path, scope, secret=PASSWORDS)
    if name is None or own is None:
        return
    for key in PASSWORDS:
        if own.get(key) is not None and not isinstance(own[key], Secret):
            context.report(
                codes.K268,
                "a password that is not a sensitive variable",
                f"`{key}` of {name} is plain text",
                (*path, key),
                "declare a variable with `sensitive: true`, and write {{ var.NAME }}",
            )
            return
    given = own.get("mechanism") or "SCRAM-SHA-512"
    iterations = int(own.get("iterations") or DEFAULT_ITERATIONS)
    mechanisms = {str(each): iterations for each in (given if isinstance(given, list) else [given])}
    key = "iterations" if "iterations" in block else "mechanism"
    spans = {name_path(each): context.document.at(*path, key) for each in mechanisms if key in block}
    if "password" in block:
        spans[PASSWORD] = context.document.at(*path, "password")
    context.add(
        ScramUser(
            name_user(str(name)),
            frozen(mechanisms),
            own["password"],
            own.get("previous_password"),
            origin=Origin(context.document.key_at(*path), spans),
            rules=rules(own),
        )
    )
