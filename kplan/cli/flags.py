"""Groups of flags that commands share, and their values."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from kplan.cli.options import F, combine, option
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.plan import PlanRequest


def parse_drop(values: Sequence[str]) -> tuple[str, ...]:
    """Return the words of --drop; one value may have several."""
    if not values:
        return ()
    from kplan.kinds.connector.debezium.drops import is_word

    words = [word.strip() for each in values for word in each.split(",") if word.strip()]
    for word in words:
        if not is_word(word):
            raise click.BadParameter(f"{word} is not slot, publication or publication=NAME", param_hint="--drop")
    return tuple(words)


def read_env_files(files: Sequence[str]) -> None:
    """Set the variables of dotenv files that the process does not have; the last file counts. Raises BadParameter."""
    for name, value in parse_env_files(files).items():
        os.environ.setdefault(name, value)


def parse_env_files(files: Sequence[str]) -> dict[str, str]:
    """Return the variables of dotenv files; the last file counts. Raises BadParameter."""
    if not files:
        return {}
    from kplan.language.dotenv import parse_dotenv
    from kplan.project.reading import read_file

    values: dict[str, str] = {}
    for file in files:
        try:
            values |= parse_dotenv(read_file(file).decode())
        except (OSError, ValueError) as e:
            reason = "not UTF-8 text" if isinstance(e, UnicodeDecodeError) else getattr(e, "strerror", None) or str(e)
            raise click.BadParameter(f"{file}: {reason}", param_hint="--env-file")
    return {name: value for name, value in values.items() if "\0" not in value}


def make_selector(help: str) -> Callable[[F], F]:
    """Return the option --selector, which may be repeated."""
    return option(
        "--selector", "selectors", metavar="KEY=VALUE", multiple=True, help=f"{help} Repeatable: all must fit."
    )


LOADING = combine(
    option("--env", metavar="NAME", default="", help="Environment from kplan.yaml (default: its `default`)."),
    option("--var", "flags", metavar="NAME=VALUE", multiple=True, help="Set a variable. Repeatable."),
    option(
        "--var-file",
        "var_files",
        metavar="FILE",
        multiple=True,
        help="A YAML or JSON map of variables, or a SOPS file of one. Repeatable.",
    ),
    option(
        "--env-file",
        metavar="FILE",
        multiple=True,
        is_eager=True,
        expose_value=False,
        callback=lambda context, parameter, files: read_env_files(files),
        help="Variables of the process from a dotenv file; those that are set keep their values. Repeatable.",
    ),
    option("--bootstrap", default="", metavar="HOST:PORT", help="Brokers; overrides the environment."),
    option("--connect", default="", metavar="URL", help="Kafka Connect; overrides the environment."),
    option(
        "-C",
        "--dir",
        "folder",
        default=".",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False),
        help="Work in this folder.",
    ),
)
SHOWING = combine(
    option("--no-color", is_flag=True, help="No colours; same as NO_COLOR."),
    option("--width", type=click.IntRange(40, 400), default=None, help="Columns (default: the terminal's, or 100)."),
    option("--quiet", "-q", is_flag=True, help="Print errors only."),
    option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
        default=None,
        help="What is logged: DEBUG requests, INFO done, WARNING retried, ERROR final (default: error).",
    ),
    option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Format of the log."),
    option(
        "--log-file",
        type=click.Path(dir_okay=False),
        default=None,
        help="Write the log to this file (default: standard error).",
    ),
)
PLANNING = combine(
    option(
        "--target",
        "targets",
        metavar="ADDR",
        multiple=True,
        help="Plan only this address (globs, @FILE) and what it needs.",
    ),
    make_selector("Plan only what has this label, or this team (team=NAME), and what it needs."),
    option("--exclude", "excluded", metavar="ADDR", multiple=True, help="Leave out this address (globs, @FILE)."),
    option("--replace", "replaced", metavar="ADDR", multiple=True, help="Delete and recreate; always a danger."),
    option(
        "--accept",
        "accepted",
        metavar="ACTION:ADDR",
        multiple=True,
        help="Accept the dangers of one step, such as delete:topic/x.",
    ),
    option(
        "--drop",
        "drop",
        metavar="WHAT",
        multiple=True,
        callback=lambda context, parameter, given: parse_drop(given),
        help="With each connector that is deleted or recreated, drop this in its database: slot, publication, "
        "publication=NAME; separate several with commas.",
    ),
    option("--offline", is_flag=True, help="Do not let the servers check the changes."),
    option("--no-login-check", is_flag=True, help="Do not try the passwords of users that change."),
    option("--verbose", is_flag=True, help="Show every setting."),
    option("--brief", is_flag=True, help="One line per step."),
)


CHANGED_SINCE = option(
    "--changed-since",
    metavar="REF",
    default="",
    help="Only the stacks that git says changed since this revision, and those that depend on them.",
)
RUNNING = combine(
    option("--yes", "-y", is_flag=True, help="Do not ask for confirmation."),
    option(
        "--on-failure",
        type=click.Choice(["rollback", "stop"]),
        default="rollback",
        help="What to do when a step fails.",
    ),
    option(
        "--parallel",
        type=click.IntRange(1, 64),
        default=6,
        show_default=True,
        help="Maximum number of connectors changed at once.",
    ),
    option(
        "--lock-timeout", metavar="TIME", default="0s", help="How long to wait for another apply's lock, such as 60s."
    ),
    option(
        "--wait",
        "wait_time",
        metavar="TIME",
        default="0s",
        help="Wait for Kafka to answer before planning, such as 60s; for Connect too where a connector needs it.",
    ),
)


@dataclass(frozen=True, slots=True)
class LoadFlags:
    """The values of LOADING: which environment and variables count."""

    env: str = ""
    flags: tuple[str, ...] = ()  # NAME=VALUE
    var_files: tuple[str, ...] = ()
    bootstrap: str = ""
    connect: str = ""
    folder: str = "."
    changed_since: str = ""


@dataclass(frozen=True, slots=True)
class Display:
    """The values of SHOWING, and how much is shown."""

    no_color: bool = False
    width: int | None = None
    quiet: bool = False
    log_level: str | None = None
    log_format: str = "text"
    log_file: str | None = None
    verbose: bool = False
    brief: bool = False


@dataclass(frozen=True, slots=True)
class PlanFlags:
    """The values of PLANNING. Of `targets` and `excluded` those with @ name files of addresses."""

    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    offline: bool = False
    no_login_check: bool = False
    selectors: tuple[str, ...] = ()

    @property
    def address_files(self) -> tuple[str, ...]:
        """Return the files of addresses, each with its @."""
        return tuple(text for text in (*self.targets, *self.excluded) if text.startswith("@"))

    @property
    def flags_set(self) -> list[str]:
        """Return the names of the flags that have a value."""
        values = {
            "--target": self.targets,
            "--exclude": self.excluded,
            "--replace": self.replaced,
            "--accept": self.accepted,
            "--drop": self.drop,
            "--offline": self.offline,
            "--no-login-check": self.no_login_check,
            "--selector": self.selectors,
        }
        return [flag for flag, value in values.items() if value]


@dataclass(frozen=True, slots=True)
class RunFlags:
    """The values of RUNNING; the times are texts such as 60s."""

    yes: bool = False
    on_failure: str = "rollback"
    parallel: int = 6
    lock_timeout: str = "0s"
    wait_time: str = "0s"


# -- values -----------------------------------------------------------------------------------------------------------
def parse_pairs(flags: Sequence[str]) -> dict[str, str]:
    """Return the variables of --var by name. Raises BadParameter."""
    pairs = {}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="--var")
        pairs[name] = value
    return pairs


def read_patterns(values: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of --target or --exclude; `@FILE` holds one a line."""
    from kplan.project.reading import read_file

    addresses: list[str] = []
    for value in values:
        if not value.startswith("@"):
            addresses.append(value)
            continue
        try:
            lines = read_file(value[1:]).decode().splitlines()
        except (OSError, UnicodeDecodeError) as e:
            raise click.BadParameter(f"{value}: {getattr(e, 'strerror', None) or 'not text'}")
        addresses += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return tuple(addresses)


def make_plan_request(flags: PlanFlags, mode: str, *, from_snapshot: bool = False) -> PlanRequest:
    """Return the request for a plan. Raises BadParameter where a file of addresses cannot be read."""
    from kplan.app.plan import PlanRequest, read_commit

    return PlanRequest(
        mode,
        read_patterns(flags.targets),
        read_patterns(flags.excluded),
        flags.replaced,
        flags.accepted,
        frozenset(flags.drop),
        flags.offline,
        from_snapshot,
        read_commit(os.environ),
        frozenset(read_patterns(flags.address_files)),
        not flags.no_login_check,
        parse_selector(flags.selectors),
    )


def parse_selector(selectors: Sequence[str]) -> dict[str, str]:
    """Return the labels of KEY=VALUE, several with commas between them. Raises BadParameter."""
    pairs = [word.strip().partition("=") for text in selectors for word in text.split(",")]
    for key, equals, value in pairs:
        if not (key and equals and value):
            raise click.BadParameter("it takes KEY=VALUE, such as team=cdc", param_hint="--selector")
    return {key: value for key, _, value in pairs}


def parse_seconds(text: str, flag: str) -> float:
    """Return the seconds of a duration such as 60s. Raises BadParameter."""
    from kplan.language.durations import seconds

    try:
        return seconds(text)
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint=flag)


def parse_lock_timeout(text: str) -> float:
    """Return the seconds of --lock-timeout. Raises BadParameter."""
    return parse_seconds(text, "--lock-timeout")
