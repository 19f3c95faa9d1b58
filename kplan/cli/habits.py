"""Hints for who types what other tools call it: Terraform, git, kubectl, dbt."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

# By the words of a command that kplan does not have.
COMMAND_HINTS: Final[Mapping[str, str]] = {
    "check": "`kplan validate` reports every error of the stacks",
    "acls": "`kplan list 'acl/*'` shows bindings",
    "connectors": "`kplan list 'connector/*'` shows live connectors, and `kplan status` their health",
    "console": "`kplan show --stack STACK` prints a stack with its variables and topics",
    "create": "`kplan apply` creates what a stack declares",
    "delete": "`kplan destroy STACK` deletes a stack; a single resource goes to `removed:` in its stack",
    "deploy": "`kplan apply` makes the changes",
    "down": "`kplan destroy STACK` deletes what a stack owns",
    "env": "--env NAME chooses an environment of kplan.yaml",
    "force-unlock": "there is nothing to unlock: a lock ends with its process",
    "format": "`kplan fmt` brings stack files into canonical order",
    "get": "`kplan list` shows live resources, and `kplan list 'topic/shop.*'` some of them",
    "lint": "`kplan validate` reports every error of the stacks",
    "lock": "a plan and an apply name who holds the lock, and it ends with its process",
    "locks": "a plan and an apply name who holds the lock, and it ends with its process",
    "log": "`kplan history` lists the runs",
    "ls": "`kplan list` shows live resources",
    "output": "`kplan show --stack STACK` prints a stack with its variables and topics",
    "ps": "`kplan status` shows the health of connectors and tasks",
    "refresh": "every plan reads what is live: there is nothing to refresh",
    "rm": "`kplan destroy STACK` deletes a stack; a single resource goes to `removed:` in its stack",
    "rollback": "`kplan recover` puts back an interrupted run; an earlier stack is applied as any other",
    "run": "`kplan apply` makes the changes",
    "state list": "`kplan list` shows live resources and their owners",
    "state mv": "`moved:` in the stack gives a connector another name",
    "state pull": "`kplan list --format json` has what is recorded of live resources",
    "state rm": "`removed: [{topic: NAME, keep: true}]` in the stack gives a resource up",
    "state show": "`kplan list` shows live resources and their owners",
    "taint": "`kplan plan --replace ADDR` deletes and recreates a resource",
    "test": "stacks are tested in pytest: see docs/testing.md",
    "topics": "`kplan list 'topic/*'` shows live topics",
    "undo": "`kplan recover` puts back an interrupted run",
    "unlock": "there is nothing to unlock: a lock ends with its process",
    "up": "`kplan apply` makes the changes",
    "workspace": "--env NAME chooses an environment of kplan.yaml",
}
# By the name of a flag that kplan does not have, without its dashes.
FLAG_HINTS: Final[Mapping[str, str]] = {
    "auto-approve": "--yes does not ask for confirmation",
    "chdir": "-C DIR works in another folder",
    "dry-run": "`kplan plan` changes nothing",
    "environment": "--env NAME chooses an environment of kplan.yaml",
    "f": "stack files are named without a flag: kplan plan stack.yaml",
    "file": "stack files are named without a flag: kplan plan stack.yaml",
    "force": "--accept ACTION:ADDR accepts the dangers of one step; --yes does not ask for confirmation",
    "json": "--format json prints a document",
    "o": "--format json prints a document; --out FILE saves a plan",
    "output": "--format json prints a document; --out FILE saves a plan",
    "refresh": "every plan reads what is live",
    "watch": "`kplan status --watch` repeats",
    "workspace": "--env NAME chooses an environment of kplan.yaml",
}
MIN_SIMILARITY: Final = 0.75


def find_command_hint(words: Sequence[str], known: Collection[str]) -> str:
    """Return what to type in place of an unknown command: of another tool's, or of a similar name; else empty."""
    for length in (2, 1):
        if hint := COMMAND_HINTS.get(" ".join(words[:length])):
            return f" In kplan: {hint}."
    close = difflib.get_close_matches(words[0], known, 1, MIN_SIMILARITY)
    return f" Did you mean `{close[0]}`?" if close else ""


def find_flag_hint(words: Sequence[str], known: Collection[str]) -> str:
    """Return what to type in place of a flag that does not exist; `known` are those of the command. Else empty.

    One dash is taken for two where that is a flag.
    """
    for word in words:
        if not word.startswith("-") or (word.startswith("--") and word.partition("=")[0] in known):
            continue
        name = word.lstrip("-").partition("=")[0]
        if len(name) > 1 and not word.startswith("--") and f"--{name}" in known:
            return f"Flags have two dashes: --{name}"
        hint = FLAG_HINTS.get(name, "")
        if hint and ("--format json" not in hint or "--format" in known):
            return f"In kplan: {hint}"
    return ""
