"""A topic's settings in layers: which value wins, where it is written, and what Kafka makes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.topic import configs as catalog
from kplan.language.durations import seconds
from kplan.language.keys import missing_blank
from kplan.model import USUAL, Origin, Rules, Topic, frozen
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class TopicSetting:
    """One value as a person wrote it, with the place of its key or itself, and the words for where it comes from."""

    value: Any
    source: str
    span: Span | None = None
    value_span: Span | None = None


MAX_SHAPES = 1_000  # of topics that are remembered: where each has its own, that spares nothing
Layer = Mapping[str, TopicSetting]  # by path: /partitions, /replication_factor, /config/retention.ms

BUILT_IN: Layer = {"/partitions": TopicSetting(1, "built in"), "/replication_factor": TopicSetting(-1, "built in")}
FROM_OUTSIDE = ("/replication_factor", "/config/min.insync.replicas")  # all that reaches an internal topic


def layer(data: Mapping[str, Any], source: str, spans: Mapping[str, Span]) -> Layer:
    """Return a rendered `{partitions, replication_factor, config}` block; `spans` by path, those of values with `=`
    behind.
    """
    flat = {f"/{key}": data[key] for key in ("partitions", "replication_factor") if data.get(key) is not None}
    flat |= {f"/config/{key}": value for key, value in (data.get("config") or {}).items()}
    return {path: TopicSetting(value, source, spans.get(path), spans.get(f"{path}=")) for path, value in flat.items()}


def stack_layers(layers: Iterable[Layer]) -> Layer:
    """Return the settings that win: later layers over earlier ones; null takes a setting away.

    An unknown config stays, whatever its value, so that the builder reports it.
    """
    merged: dict[str, TopicSetting] = {}
    for each in layers:
        merged.update(each)
    return {path: setting for path, setting in merged.items() if setting.value is not None or _is_unknown(path)}


def _is_unknown(path: str) -> bool:
    return path.startswith("/config/") and path.removeprefix("/config/") not in catalog.CONFIGS


def only(outside: Layer, paths: Iterable[str] = FROM_OUTSIDE) -> Layer:
    return {path: outside[path] for path in paths if path in outside}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What settings make of a topic, with the settings themselves."""

    settings: tuple[TopicSetting, ...]
    partitions: int
    replication_factor: int
    config: Mapping[str, str]
    spans: Mapping[str, Span]
    sources: Mapping[str, str]


class Builder:
    """Makes Topics of layers, and collects what is wrong. What was parsed once is not parsed again."""

    def __init__(self, overrides: Mapping[str, Layer] = MappingProxyType({})) -> None:
        self.problems: list[Diagnostic] = []
        self.overrides = overrides  # by topic: what wins over all that the stack says
        self._parsed: dict[tuple[str, Any, type], str | None] = {}
        self._shapes: dict[tuple[tuple[str, int], ...], _Shape] = {}  # by the identities of settings, which they keep

    def topic(self, name: str, settings: Layer, span: Span | None, note: str, rules: Rules) -> Topic:
        address = f"topic/{name}"
        if name in self.overrides:
            settings = stack_layers([settings, self.overrides[name]])
        problem = catalog.check_name(name)
        if problem:
            self.problems.append(
                error(
                    codes.K109,
                    "illegal topic name",
                    f"{name!r}: {problem}",
                    span=span,
                    address=address,
                    help="a topic's name has 1 to 249 characters of a-z A-Z 0-9 . _ - and is not . or ..",
                )
            )
        shape = self._shape(settings)
        origin = Origin(span, shape.spans, shape.sources, note)
        topic = Topic(name, shape.partitions, shape.replication_factor, shape.config, origin=origin, rules=rules)
        self._cross_check(topic)
        return topic

    def _shape(self, settings: Layer) -> _Shape:
        """Return what the settings say; topics with the very same settings share it, unless something is wrong."""
        key = tuple((path, id(setting)) for path, setting in settings.items())
        known = self._shapes.get(key)
        if known is not None:
            return known
        problems = len(self.problems)
        config: dict[str, str] = {}
        for path, setting in settings.items():
            if path.startswith("/config/"):
                value = self._config(path.removeprefix("/config/"), setting)
                if value is not None:
                    config[path.removeprefix("/config/")] = value
        shape = _Shape(
            tuple(settings.values()),
            self._count(settings, "/partitions", 1),
            self._count(settings, "/replication_factor", -1),
            config,
            {path: setting.span for path, setting in settings.items() if setting.span},
            {path: setting.source for path, setting in settings.items()},
        )
        if len(self.problems) == problems and len(self._shapes) < MAX_SHAPES:
            self._shapes[key] = shape
        return shape

    def _count(self, settings: Layer, path: str, default: int) -> int:
        setting = settings.get(path)
        if setting is None:
            return default
        value = setting.value
        if isinstance(value, str) and value.strip().lstrip("+-").isdigit() and len(value) < 10:
            value = int(value)
        most = 100_000 if path == "/partitions" else 32_767
        if isinstance(value, int) and not isinstance(value, bool) and (1 <= value <= most or value == -1):
            return value
        self._report(
            error(
                codes.K108,
                "a topic setting has a value that Kafka refuses",
                f"{path[1:]} is {setting.value!r}{_from(setting)}",
                help=f"{path[1:]} is an integer, 1 or more, or -1 for the broker's own default",
                span=setting.span,
                path=path,
            )
        )
        return default

    def _config(self, key: str, setting: TopicSetting) -> str | None:
        raw = setting.value
        if not isinstance(raw, str | int | float | bool):
            return self._parse(key, setting)
        memo = (key, raw, type(raw))  # the type, for 1 == True == 1.0
        value = self._parsed.get(memo)
        if value is None:
            value = self._parsed[memo] = self._parse(key, setting)
        return value

    def _parse(self, key: str, setting: TopicSetting) -> str | None:
        at = setting.span  # what comes from outside the stack has no place in it, and is told once
        if key not in catalog.CONFIGS:
            detail, help = f"{key}{_from(setting)}", _help_for_unknown(key, setting.value)
            self._report(error(codes.K104, "unknown topic config", detail, help=help, span=at, path=f"/config/{key}"))
            return None
        try:
            return catalog.parse(key, setting.value)
        except ValueError as e:
            self._report(
                error(
                    codes.K108,
                    "a topic config has a value that Kafka refuses",
                    f"{key}: {e}{_from(setting)}",
                    span=setting.value_span or at,
                    path=f"/config/{key}",
                    help=catalog.CONFIGS[key].doc,
                )
            )
            return None

    def _cross_check(self, topic: Topic) -> None:
        for key, problem in catalog.cross_check(topic.config):
            self._report(
                error(
                    codes.K108,
                    "topic configs contradict each other",
                    f"{problem}",
                    path=f"/config/{key}",
                    span=topic.origin.at(f"/config/{key}"),
                    address=topic.address,
                )
            )
        insync = topic.config.get("min.insync.replicas")
        if insync and topic.replication_factor > 0 and int(insync) > topic.replication_factor:
            self._report(
                error(
                    codes.K111,
                    "more in-sync replicas are asked for than there are replicas",
                    f"min.insync.replicas {insync} > replication_factor {topic.replication_factor}",
                    help="Kafka accepts this and then refuses every write with acks=all: lower one or raise the other",
                    span=topic.origin.at("/config/min.insync.replicas"),
                    address=topic.address,
                )
            )

    def _report(self, problem: Diagnostic) -> None:
        self.problems.append(problem)


def _help_for_unknown(key: str, value: Any) -> str:
    """Say what was probably meant with a config that Kafka does not have."""
    policies = catalog.CONFIGS["cleanup.policy"].values
    if value is None and key in policies:  # of `{cleanup.policy: compact,delete}` YAML makes two keys
        both = ", ".join(sorted(policies))
        return f'put several policies in quotes or brackets: "{both.replace(" ", "")}" or [{both}]'
    if advice := missing_blank(key, value) or catalog.explain_removed_config(key):
        return advice
    close = catalog.suggest(key)
    return f"did you mean `{close[0]}`?" if close else "`kplan schema` lists Kafka's topic configs"


def _from(setting: TopicSetting) -> str:
    return "" if setting.span else f" (from {setting.source})"


def rules(block: Mapping[str, Any]) -> Rules:
    """Return what a block says about its resource: how it may be changed, and to whom it belongs."""
    failed = block.get("restart_failed")
    new = block.get("new_tables") or {}
    made = Rules(
        protect=block.get("protect"),
        ignore=frozenset(block.get("ignore") or ()),
        accept=frozenset(block.get("accept") or ()),
        restart=block.get("restart") or "never",
        restart_failed=(int(failed.get("attempts", 3)), seconds(failed.get("delay", "10s"))) if failed else None,
        new_tables=new.get("snapshot", "none"),
        drop=frozenset((block.get("on_delete") or {}).get("drop") or ()),
        team=block.get("team") or "",
        labels=frozen(block.get("labels") or {}),
        description=block.get("description") or "",
    )
    return USUAL if made == USUAL else made  # one for nearly all
