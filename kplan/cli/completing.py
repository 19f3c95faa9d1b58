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


class WordCompletion(click.types.StringParamType):
    """A text that completes to some words; to none where they cannot be found, as with a broken file."""

    def __init__(self, words: Words) -> None:
        self.words = words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        try:
            words = list(self.words(ctx))
        except Exception:  # a message would appear in the middle of a command line
            return []
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


class FileCompletion(click.types.StringParamType):
    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


def attach_completions(command: click.Command, group: str = "") -> None:
    """Make the command's parameters complete to what they accept; only a shell asks for this."""
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            attach_completions(subcommand, command.name or "")
    for param in command.params:
        source = WORDS.get(f"{group or command.name} {param.name}") or WORDS.get(param.name or "")
        if isinstance(param.type, click.types.StringParamType) and source:
            param.type = FileCompletion() if source == FILES else WordCompletion(source)


# -- where the words come from ----------------------------------------------------------------------------------------
def _make_request(ctx: click.Context) -> Request:
    """Return the request of the words typed so far; no server is asked."""
    import os

    from kplan.model import Target
    from kplan.project.loading import Request

    parameters = ctx.params
    paths_typed = (
        parameters.get("paths") or ctx.args
    )  # click keeps them there where the flag at the end still lacks its value
    paths = [path for path in paths_typed if not str(path).endswith(".json")]
    os.chdir(parameters.get("folder") or ".")
    return Request(paths=paths, env=parameters.get("env") or "", process=dict(os.environ), offline_target=Target())


def _list_environments(ctx: click.Context) -> Iterable[str]:
    from kplan.project.loading import list_environment_names

    return list_environment_names(_make_request(ctx))


def _list_addresses(ctx: click.Context) -> Iterable[str]:
    from kplan.project.loading import load_project

    request = _make_request(ctx)
    return (
        [str(address) for stack in load_project(request).stacks for address in stack.resources] if request.paths else ()
    )


def _list_dangers(ctx: click.Context) -> Iterable[str]:
    """Return what may be accepted for one run: each action with each address that is declared or removed."""
    from kplan.planning.risk import OTHERWISE, VERBS

    verbs = [*VERBS.values(), OTHERWISE]
    if not (ctx.params.get("paths") or ctx.args):
        return ["max_changes", *(f"{verb}:" for verb in verbs)]
    from kplan.project.loading import load_project

    stacks = load_project(_make_request(ctx)).stacks
    addresses = [str(address) for stack in stacks for address in stack.resources]
    deletions = [f"delete:{entry.address}" for stack in stacks for entry in stack.removed if not entry.keep]
    return ["max_changes", *deletions, *(f"{verb}:{address}" for address in addresses for verb in verbs)]


def _list_reports(ctx: click.Context) -> Iterable[str]:
    """Return each kind with a suitable file name; what belongs in a log goes to standard output."""
    from kplan.cli.report_flags import KINDS, KINDS_OF_PROBLEMS

    kinds = KINDS_OF_PROBLEMS if ctx.command.name == "validate" else KINDS
    endings = {"text": "txt", "junit": "xml"}
    return [f"{kind}={'-' if kind in ('github', 'concise') else f'plan.{endings.get(kind, kind)}'}" for kind in kinds]


def _list_connectors(ctx: click.Context) -> Iterable[str]:
    """Return the connectors of the stacks in the working folder and in stacks/: they precede the stack on the line."""
    from dataclasses import replace
    from pathlib import Path

    from kplan.kinds.connector.selection import find_connectors
    from kplan.project.loading import load_project

    paths = [str(path) for folder in (".", "stacks") for path in sorted(Path(folder).glob("*.y*ml"))]
    loaded = load_project(
        replace(_make_request(ctx), paths=[path for path in paths if not path.endswith("kplan.yaml")])
    )
    return [connector.name for connector in find_connectors(loaded.stacks)]


def _list_templates(ctx: click.Context) -> Iterable[str]:
    from kplan.project.loading import list_built_in_templates

    return ["topics", *list_built_in_templates()]


def _list_codes(ctx: click.Context) -> Iterable[str]:
    from kplan.diagnostics.codes.table import CODES

    return sorted(CODES)


def _list_schemas(ctx: click.Context) -> Iterable[str]:
    from kplan.language.schema import schema_names

    return [name.removesuffix(".v1") for name in schema_names()]


# By the parameter's name, or the command's and the parameter's.
WORDS: Mapping[str, Any] = {
    "paths": FILES,
    "var_files": FILES,
    "env_file": FILES,
    "out": FILES,
    "live": FILES,
    "comment path": FILES,
    "env": _list_environments,
    "what": _list_addresses,
    "address": _list_addresses,
    "targets": _list_addresses,
    "excluded": _list_addresses,
    "replaced": _list_addresses,
    "accepted": _list_dangers,
    "reports": _list_reports,
    "explain code": _list_codes,
    "schema name": _list_schemas,
    "init template": _list_templates,
    "discover name": _list_connectors,
    "connector name": _list_connectors,
}
