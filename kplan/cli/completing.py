"""What a shell completes flags and arguments to: files, environments, addresses, connectors, dangers, codes, …"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from kplan.project.loading import Request

Words = Callable[[click.Context], Iterable[str]]
FILES = "FILES"


class Completed(click.types.StringParamType):
    """A text that completes to some words; what keeps kplan from finding them, such as a broken file, gives none."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        try:
            found = list(self.words(ctx))
        except Exception:  # whatever is said here would stand in the middle of a command line
            return []
        return [CompletionItem(word) for word in found if word.startswith(incomplete)]


class File(click.types.StringParamType):
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


def attach(command: click.Command, group: str = "") -> None:
    """From here on the command's parameters complete to what they take; asked for by a shell alone."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            attach(each, command.name or "")
    for param in command.params:
        known = WORDS.get(f"{group or command.name} {param.name}") or WORDS.get(param.name or "")
        if isinstance(param.type, click.types.StringParamType) and known:
            param.type = File() if known == FILES else Completed(known)


# -- where the words come from ----------------------------------------------------------------------------------------
def _request(ctx: click.Context) -> Request:
    """What was typed so far, as if a server were never asked."""
    import os

    from kplan.model import Target
    from kplan.project.loading import Request

    given = ctx.params
    typed = given.get("paths") or ctx.args  # click keeps them there where the flag at the end still lacks its value
    paths = [path for path in typed if not str(path).endswith(".json")]
    os.chdir(given.get("folder") or ".")
    return Request(paths=paths, env=given.get("env") or "", process=dict(os.environ), offline_target=Target())


def _environments(ctx: click.Context) -> Iterable[str]:
    from kplan.project.loading import list_environment_names

    return list_environment_names(_request(ctx))


def _addresses(ctx: click.Context) -> Iterable[str]:
    from kplan.project.loading import load_project

    request = _request(ctx)
    return (
        [str(address) for stack in load_project(request).stacks for address in stack.resources] if request.paths else ()
    )


def _dangers(ctx: click.Context) -> Iterable[str]:
    """What may be accepted for one run: each action with each address that is declared or removed."""
    from kplan.planning.risk import OTHERWISE, VERBS

    verbs = [*VERBS.values(), OTHERWISE]
    if not (ctx.params.get("paths") or ctx.args):
        return ["max_changes", *(f"{verb}:" for verb in verbs)]
    from kplan.project.loading import load_project

    stacks = load_project(_request(ctx)).stacks
    found = [str(address) for stack in stacks for address in stack.resources]
    gone = [f"delete:{entry.address}" for stack in stacks for entry in stack.removed if not entry.keep]
    return ["max_changes", *gone, *(f"{verb}:{address}" for address in found for verb in verbs)]


def _reports(ctx: click.Context) -> Iterable[str]:
    """Each kind with the name of a file that suits it; what goes into a log goes to standard output."""
    from kplan.cli.report_flags import KINDS, KINDS_OF_PROBLEMS

    kinds = KINDS_OF_PROBLEMS if ctx.command.name == "validate" else KINDS
    endings = {"text": "txt", "junit": "xml"}
    return [f"{kind}={'-' if kind in ('github', 'concise') else f'plan.{endings.get(kind, kind)}'}" for kind in kinds]


def _connectors(ctx: click.Context) -> Iterable[str]:
    """Those of the stacks in the working folder and in stacks/: on such a line they come before the stack."""
    from dataclasses import replace
    from pathlib import Path

    from kplan.kinds.connector.selection import find_connectors
    from kplan.project.loading import load_project

    paths = [str(path) for folder in (".", "stacks") for path in sorted(Path(folder).glob("*.y*ml"))]
    loaded = load_project(replace(_request(ctx), paths=[path for path in paths if not path.endswith("kplan.yaml")]))
    return [connector.name for connector in find_connectors(loaded.stacks)]


def _templates(ctx: click.Context) -> Iterable[str]:
    from kplan.project.loading import list_built_in_templates

    return ["topics", *list_built_in_templates()]


def _codes(ctx: click.Context) -> Iterable[str]:
    from kplan.diagnostics.codes.table import CODES

    return sorted(CODES)


def _schemas(ctx: click.Context) -> Iterable[str]:
    from kplan.language.schema import schema_names

    return [name.removesuffix(".v1") for name in schema_names()]


# By the parameter's name, or the command's and the parameter's.
WORDS: Mapping[str, Any] = {
    "paths": FILES,
    "var_files": FILES,
    "out": FILES,
    "live": FILES,
    "comment path": FILES,
    "env": _environments,
    "targets": _addresses,
    "excluded": _addresses,
    "replaced": _addresses,
    "accepted": _dangers,
    "reports": _reports,
    "explain code": _codes,
    "schema name": _schemas,
    "init template": _templates,
    "discover name": _connectors,
    "connector name": _connectors,
}
