"""The expansion of a stack as its kinds see it: how a block is read, and where what it declares is collected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, Protocol

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.topic.settings import Builder, Layer
from kplan.language import keys, schema
from kplan.language.source import Document
from kplan.language.template import Scope, TemplateProblem, TooMuch, is_template, render, show_references
from kplan.model import Address, File, Resource, Rules, Secret
from kplan.patterns import late_pattern
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.kinds.acl.rights import Right

KEY = tuple[str | int, ...]
EACH = late_pattern(r"\beach\b")
MOST_RESOURCES = 100_000  # of one stack: ten times what a large cluster has
MOST_PROBLEMS = 2_000  # that are reported for one stack


@dataclass(frozen=True, slots=True)
class Override:
    """What an environment says of one resource, in place of what the stack says: the block's `data`, its places by the
    keys within it, that of the block itself under ()."""

    data: Mapping[str, Any]
    spans: Mapping[KEY, Span] = field(default_factory=dict)


class Surroundings(Protocol):
    """What expansion asks of an environment."""

    @property
    def name(self) -> str: ...
    @property
    def defaults(self) -> Mapping[str, Any]: ...
    @property
    def fills(self) -> Mapping[str, tuple[str, str]]: ...
    @property
    def kafka_topic(self) -> str: ...
    @property
    def connects(self) -> Collection[str]: ...
    @property
    def connect_group_ids(self) -> Mapping[str, str]: ...
    @property
    def has_registry(self) -> bool: ...
    @property
    def registry_url(self) -> str: ...
    @property
    def file(self) -> File | None: ...
    @property
    def overrides(self) -> Mapping[str, Mapping[str, Override]]: ...  # by section and name


@dataclass(frozen=True, slots=True)
class AskedLevel:
    """The compatibility level that a connector asks for, of the schemas that its converters register for `topics`."""

    connector: str
    topics: Sequence[str]
    level: str
    path: KEY
    rules: Rules


def refuse_files(name: str) -> tuple[str, bytes]:
    """Raise OSError for each file: there is no folder that a stack could name one in."""
    raise OSError("there are no files here")


@dataclass(slots=True)
class ExpansionContext:
    """What one stack gives the expansion of its blocks: places, templates, layers; `problems` and `resources` grow."""

    document: Document
    surroundings: Surroundings
    find: Callable[[str], tuple[Blueprint | None, Sequence[Diagnostic]]]  # a connector template by its name
    schema: Mapping[str, Any]  # of stacks, with the parts of all kinds
    measure: Callable[[Resource], int]  # how many attributes a resource has
    rights_of: Callable[[Resource], Iterable[Right]] = lambda resource: ()  # what its principal needs on the brokers
    problems: list[Diagnostic] = field(default_factory=list)
    scope: Scope = field(default_factory=lambda: Scope({}))
    outer: list[Layer] = field(default_factory=list)  # defaults for every topic, under what the topic says
    resources: dict[Address, Resource] = field(default_factory=dict)
    internal: set[str] = field(default_factory=set)  # topics that only a template asked for
    undeclared: dict[str, list[str]] = field(default_factory=dict)  # topics a connector writes besides, by its name
    classes: dict[str, tuple[Layer, Mapping[str, Any]]] = field(default_factory=dict)  # of topics, as far as read
    written: dict[str, Layer] = field(default_factory=dict)  # what `topics:` itself says of a topic
    # Topics that connectors write to, with what reports those of them that nothing declares.
    expected: list[tuple[Callable[[Sequence[str]], None], list[str]]] = field(default_factory=list)
    topics: Builder = field(default_factory=Builder)
    read_file: Callable[[str], tuple[str, bytes]] = refuse_files  # by its name: its path as shown, its bytes
    asked_levels: list[AskedLevel] = field(default_factory=list)

    # -- values ---------------------------------------------------------------------------------------------------
    def value(self, data: Any, path: KEY, scope: Scope | None = None, *, secret: bool = False) -> Any:
        """Return `data` with its templates rendered. A sensitive value where it would be shown is a problem."""
        (scope or self.scope).budget.spend(1 + (len(data) // 100 if isinstance(data, str) else 0))
        if isinstance(data, dict):
            rendered = {}
            for key, child in data.items():
                name = self.value(key, (*path, key), scope) if is_template(key) else key
                rendered[str(name)] = self.value(child, (*path, key), scope, secret=secret)
            return rendered
        if isinstance(data, list):
            return [self.value(child, (*path, i), scope, secret=secret) for i, child in enumerate(data)]
        if not is_template(data):
            return data
        try:
            value = render(data, scope or self.scope)
        except TooMuch:
            raise
        except TemplateProblem as e:
            self.report(codes.K201, "a template cannot be rendered", str(e), path, e.help)
            return None
        if isinstance(value, Secret) and not secret:
            self.report(
                codes.K209,
                "a sensitive value would be shown here",
                value.ref,
                path,
                "only connector settings may hold sensitive values",
            )
            return None
        return value

    def block(self, data: Any, path: KEY, scope: Scope | None = None, *, secret: Collection[str] = ()) -> Any:
        """Return a block with its templates rendered, None where they fail or give what may not stand there.

        Under the keys in `secret` values may be sensitive.
        """
        before = len(self.problems)
        if isinstance(data, dict) and secret:
            plain = {key: value for key, value in data.items() if key not in secret}
            hidden = {key: value for key, value in data.items() if key in secret}
            rendered = {**self.value(plain, path, scope), **self.value(hidden, path, scope, secret=True)}
        else:
            rendered = self.value(data, path, scope)
        if rendered == data:
            return rendered
        if len(self.problems) == before:
            self.problems += self._misfits(path, rendered)
        return rendered if len(self.problems) == before else None

    def _misfits(self, path: KEY, rendered: Any) -> Iterable[Diagnostic]:
        """Return what does not meet the schema now that it is rendered."""
        content = show_references(rendered)
        if len(path) == 2 and path[0] == "connectors":
            own = self.document.data["connectors"][path[1]]
            content = {**{key: own[key] for key in ("template",) if key in own}, **content}
        for part in reversed(path):
            content = {part: content}
        document = replace(self.document, data={"version": 1, "stack": "rendered", **content})
        return schema.check(document, self.schema)

    def scopes(self, block: Mapping[str, Any], path: KEY, *names: Any) -> list[Scope]:
        """Return the scopes that `for_each` makes; without it the stack's own. `names` make the block's name."""
        if block.get("for_each") is None:
            return [self.scope]
        at = (*path, "for_each")
        self.problems += keys.report_glued(self.document, at, block["for_each"])
        items = self.value(block["for_each"], at)
        if isinstance(items, list):
            pairs = [(item, item) for item in items]
        elif isinstance(items, dict):
            pairs = list(items.items())
        else:
            if items is not None:
                self.report(codes.K220, "for_each takes a list or a map", f"got {type(items).__name__}", at)
            return []
        if len({str(key) for key, _ in pairs}) < len(pairs):
            self.report(codes.K220, "for_each names one thing twice", "each key makes one resource", at)
        elif len(pairs) > 1 and not any(is_template(name) and EACH.search(name) for name in names):
            detail = f"each of the {len(pairs)} items makes `{path[1]}`"
            help = f'put the item\'s key into the name: "{path[1]}.{{{{ each.key }}}}"'
            self.report(codes.K220, "for_each makes one name several times", detail, path, help, key=True)
            pairs = pairs[:1]
        return [self.scope.with_names(each={"key": key, "value": value}) for key, value in pairs]

    def report(self, code: Code, summary: str, detail: str, path: KEY, help: str = "", *, key: bool = False) -> None:
        span = self.document.key_at(*path) if key else self.document.at(*path)
        self.problems.append(error(code, summary, detail, help=help, span=span))

    def read_text(self, name: str, path: KEY, limit: int) -> tuple[str, str] | None:
        """Return the path, as it is shown, and the text of a file that the stack names at `path`; None where it has
        none of at most `limit` bytes, which is a problem."""
        summary, help = "a schema file cannot be used", "check the path: it begins at the stack file"
        try:
            shown, data = self.read_file(name)
            if len(data) > limit:
                help = f"a schema has at most {limit:,} bytes: split it, with references"
                raise ValueError(f"it has {len(data):,} bytes")
            return shown, data.decode("utf-8")
        except UnicodeDecodeError:
            self.report(codes.K278, summary, f"{name}: it is not UTF-8 text", path, help)
        except (OSError, ValueError) as e:
            reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
            self.report(codes.K278, summary, f"{name}: {reason}", path, help)
        return None

    def spans(self, path: KEY, data: Mapping[str, Any]) -> dict[str, Span]:
        """Return where each setting of a topic block is written, by its path; of a config the value's place has `=`
        behind.
        """
        found = {f"/{key}": self.document.at(*path, key) for key in ("partitions", "replication_factor") if key in data}
        config = data.get("config")
        if isinstance(config, dict):
            found |= {f"/config/{key}": self.document.key_at(*path, "config", key) for key in config}
            found |= {f"/config/{key}=": self.document.at(*path, "config", key) for key in config}
        return found

    def add(self, resource: Resource) -> None:
        """Declares `resource`; a second declaration of one address is a problem with both places. Raises TooMuch."""
        self.scope.budget.spend(self.measure(resource))
        if len(self.resources) >= MOST_RESOURCES:
            raise TooMuch(f"it has more than {MOST_RESOURCES:,} topics and connectors")
        if len(self.problems) + len(self.topics.problems) > MOST_PROBLEMS:
            raise TooMuch(f"it has more than {MOST_PROBLEMS:,} errors; the first are above")
        other = self.resources.get(resource.address)
        if other is None:
            self.resources[resource.address] = resource
            return
        place = f"; it is declared at {other.origin.span} too" if other.origin.span else ""
        self.problems.append(
            error(
                codes.K211,
                "declared twice",
                f"{resource.address}{place}",
                span=resource.origin.span,
                address=resource.address,
                help="keep one; write `ignore_topic: true` at a table whose topic is declared elsewhere",
            )
        )
