"""Get secrets from where people keep them: the output of a command, or files. Only kplan.yaml names providers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.language.dotenv import is_dotenv, parse_dotenv
from kplan.project import reading
from kplan.values import dataclass

COMMAND_TIMEOUT_S: Final = 30.0
MAX_OUTPUT_BYTES: Final = 1024 * 1024
PART_BYTES: Final = 64 * 1024
PREFIX: Final = "secret"


@dataclass(frozen=True, slots=True)
class Provider:
    """A source of secrets: the output of `command`, or a folder of `files` with one secret each.

    `allow` maps globs of stacks' names to globs of the paths that their variables may use with `from:`.
    """

    name: str
    command: tuple[str, ...] = ()
    files: str = ""
    allow: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def allows(self, stack: str, path: str) -> bool:
        """Whether a variable of the stack may have the secret at `path`."""
        from fnmatch import fnmatchcase

        patterns = [each for name, allowed in self.allow.items() if fnmatchcase(stack, name) for each in allowed]
        return any(fnmatchcase(path, pattern) for pattern in patterns)


class SecretProblem(Exception):
    """A secret that cannot be had: the code, a detail without any output, and what to do."""

    def __init__(self, code: Code, detail: str, help: str) -> None:
        super().__init__(detail)
        self.code, self.detail, self.help = code, detail, help

    def at(self, span: Span | None) -> Diagnostic:
        """Return the diagnostic at a place."""
        return error(self.code, self.code.title, self.detail, help=self.help, span=span)


class ProviderOutputs:
    """Keep the outputs of the commands, so that each runs once. `learn` gets every value, to mask it."""

    def __init__(self, learn: Callable[[Iterable[str]], None] = lambda values: None) -> None:
        self.learn = learn
        self._known: dict[tuple[str, ...], Any] = {}

    def read(self, command: Sequence[str], folder: str, process: Mapping[str, str], name: str) -> Any:
        """Return the data that the command prints. Raises SecretProblem, the same one each time."""
        key = (folder, *command)
        if key not in self._known:
            try:
                self._known[key] = parse_output(run_command(command, folder, process, name), name)
            except SecretProblem as problem:
                self._known[key] = problem
        if isinstance(self._known[key], SecretProblem):
            raise self._known[key]
        return self._known[key]


@dataclass(frozen=True, slots=True)
class SecretSource:
    """The providers of a kplan.yaml in `folder`. Where it `is_offline`, none is asked."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    folder: str = "."
    process: Mapping[str, str] = field(default_factory=dict, repr=False)
    outputs: ProviderOutputs = field(default_factory=ProviderOutputs, repr=False, compare=False)
    is_offline: bool = False

    def find(self, path: Sequence[str], stack: str = "") -> str | None:
        """Return the secret at `path`, whose first part is the provider; None offline.

        With `stack`, a variable of that stack asks for it. Raises SecretProblem.
        """
        name, below = (path[0], path[1:]) if path else ("", ())
        provider = self.providers.get(name)
        if provider is None or not below:
            raise self._refuse_unknown(name, below)
        whole = ".".join(below)
        if stack and not provider.allows(stack, whole):
            help = f'name them in kplan.yaml: secrets: {{{name}: {{allow: {{"{stack}": ["{whole}"]}}}}}}'
            raise SecretProblem(codes.K289, f"stack {stack}: {PREFIX}.{name}.{whole}", help)
        if self.is_offline:
            return None
        value = self._read_file(provider, whole) if provider.files else self._read_output(provider, below)
        self.outputs.learn([value])
        return value

    def find_reference(self, reference: str, stack: str) -> str | Diagnostic | None:
        """Return the secret that a variable's `from:` names, None offline, or why it cannot be had."""
        try:
            return self.find(reference.split(".")[1:], stack)
        except SecretProblem as problem:
            return problem.at(None)

    def _refuse_unknown(self, name: str, below: Sequence[str]) -> SecretProblem:
        known = ", ".join(self.providers) or "none"
        if name in self.providers and not below:
            return SecretProblem(codes.K286, f"{PREFIX}.{name}", f"write {PREFIX}.{name}.PATH")
        help = f"declare it in kplan.yaml, under `secrets:` at the top; known: {known}"
        return SecretProblem(codes.K280, name, help)

    def _read_output(self, provider: Provider, path: Sequence[str]) -> str:
        value = self.outputs.read(provider.command, self.folder, self.process, provider.name)
        for count, part in enumerate(path, 1):
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                shown = ".".join((PREFIX, provider.name, *path[:count]))
                help = f"compare the path with the output of the command of `{provider.name}`"
                raise SecretProblem(codes.K286, shown, help)
        if not isinstance(value, str):
            shown = ".".join((PREFIX, provider.name, *path))
            raise SecretProblem(codes.K287, shown, "name the path of one text; write a number as text in the source")
        return value

    def _read_file(self, provider: Provider, name: str) -> str:
        path = Path(self.folder, provider.files, name)
        if "/" in name or name.startswith("."):
            raise SecretProblem(codes.K288, f"{PREFIX}.{provider.name}.{name}", "name a file of that folder itself")
        try:
            data = reading.read_file(path, MAX_OUTPUT_BYTES)
        except (OSError, ValueError) as e:
            reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            help = "check the name, that the file is mounted, and its permissions"
            raise SecretProblem(codes.K288, f"{path}: {reason}", help) from None
        try:
            return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise SecretProblem(codes.K287, f"{path}", "store the secret as UTF-8 text") from None


def read_providers(data: Mapping[str, Any]) -> dict[str, Provider]:
    """Return the providers of a `secrets:` block that meets its schema."""
    return {
        name: Provider(
            name,
            tuple(map(str, entry.get("command") or ())),
            str(entry.get("files") or ""),
            {stack: tuple(paths) for stack, paths in (entry.get("allow") or {}).items()},
        )
        for name, entry in data.items()
        if isinstance(entry, dict)
    }


def run_command(command: Sequence[str], folder: str, process: Mapping[str, str], name: str) -> bytes:
    """Return what the command prints. No shell is used, and its standard error is not shown. Raises SecretProblem."""
    import subprocess

    program = command[0]
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(process),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else "it cannot be started"
        help = "install the program, or write its whole path; PATH is that of this process"
        raise SecretProblem(codes.K281, f"{name}: {program}: {reason}", help) from None
    try:
        output = _read_within_limits(child, name)
        status = child.wait()
    finally:
        _end(child)
    if status:
        help = f"run {program} yourself and read its errors: kplan shows neither its output nor its errors"
        raise SecretProblem(codes.K282, f"{name}: {program} ended with status {status}", help)
    return output


def _read_within_limits(child: Any, name: str) -> bytes:
    """Return all of the child's output, once it has ended. Raises SecretProblem after the time or the size allowed."""
    import os
    import select
    import time

    end = time.monotonic() + COMMAND_TIMEOUT_S
    output = bytearray()
    handle = child.stdout.fileno()
    is_open = True
    while is_open or child.poll() is None:
        remaining = end - time.monotonic()
        if remaining <= 0:
            help = "run it yourself: it may wait for a login, a prompt or a network"
            raise SecretProblem(codes.K283, f"{name}: {COMMAND_TIMEOUT_S:.0f} s", help)
        if not is_open:
            time.sleep(min(0.01, remaining))
        elif select.select([handle], [], [], remaining)[0]:
            part = os.read(handle, PART_BYTES)
            is_open = bool(part)
            output += part
        if len(output) > MAX_OUTPUT_BYTES:
            raise SecretProblem(codes.K284, f"{name}: more than 1 MiB", "let the command print only what is needed")
    return bytes(output)


def _end(child: Any) -> None:
    """End the child and what it started, if they still run."""
    import os
    import signal
    from contextlib import suppress

    if child.poll() is None:
        with suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    child.stdout.close()


def parse_output(output: bytes, name: str) -> Any:
    """Return a command's output, in JSON, dotenv or YAML, as maps, lists and texts. Raises SecretProblem."""
    data: Any = None
    try:
        text = output.decode("utf-8")
        if text.lstrip().startswith(("{", "[")):
            data = json.loads(text)
        elif is_dotenv(text):
            data = parse_dotenv(text)
        else:
            data = _parse_yaml(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict | list):
        help = "let it print a map as JSON, YAML or dotenv, such as with -format=json"
        raise SecretProblem(codes.K285, f"{name}: the output is not shown", help)
    return data


def _parse_yaml(text: str) -> Any:
    """Return the YAML with every scalar as the text that it is. Raises ValueError."""
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    except yaml.YAMLError:
        raise ValueError("not YAML") from None


class PathTree:
    """Secrets by their paths, as a template reads them; a path may have parts such as `items` and `values`."""

    __slots__ = ("_children",)

    def __init__(self, values: Mapping[tuple[str, ...], str]) -> None:
        groups: dict[str, dict[tuple[str, ...], str]] = {}
        for path, value in values.items():
            groups.setdefault(path[0], {})[path[1:]] = value
        self._children = {part: group[()] if () in group else PathTree(group) for part, group in groups.items()}

    def __getattr__(self, name: str) -> Any:
        if name not in self._children:
            raise AttributeError(name)
        return self._children[name]

    def __getitem__(self, name: str | int) -> Any:
        return self._children[str(name)]


__all__ = ["PathTree", "Provider", "ProviderOutputs", "SecretProblem", "SecretSource", "read_providers", "run_command"]
