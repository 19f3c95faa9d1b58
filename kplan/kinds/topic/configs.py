"""Kafka's topic configs: their names, types, defaults, ranges and units, and the rules for topic names.

The table is that of Kafka 4.3.1's `LogConfig` (a broker does not send it: librdkafka's DescribeConfigs has neither
types nor docs). tests/contract/test_topics.py walks it on a real broker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

from kplan.patterns import late_pattern
from kplan.values import dataclass

Raw: TypeAlias = str | int | float | bool | list["Raw"] | None

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1
NAME_LENGTH: Final = 249


_NOUNS: Final = {"boolean": "true or false", "double": "a number", "list": "a list", "string": "a text"}


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One topic config. `type`: list, string, int, long, double or boolean; `unit`: ms, bytes or None.

    A number is within `low` and `high` or is `also`; a string, and each item of a list, is one of `values` if any.
    """

    name: str
    type: str
    default: str
    doc: str
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    also: int | None = None
    values: tuple[str, ...] = ()

    @property
    def constraint(self) -> str:
        """Return what a value must be, in words: `an integer, 1 or more`."""
        if self.values:
            return ("any of " if self.type == "list" else "one of ") + ", ".join(self.values)
        noun = _NOUNS.get(self.type, "an integer")
        if self.low is not None and self.high is not None:
            noun += f" from {self.low:.16g} to {self.high:.16g}"
        elif self.low is not None:
            noun += f", {self.low:.16g} or more"
        return noun + (f", or {self.also}" if self.also is not None else "")


def _int(name: str, default: int, doc: str, low: int | None = None, high: int | None = None, unit: str | None = None,
         also: int | None = None) -> ConfigKey:  # fmt: skip
    return ConfigKey(name, "int", str(default), doc, unit, low, high, also)


def _long(name: str, default: int, doc: str, low: int | None = None, unit: str | None = None) -> ConfigKey:
    return ConfigKey(name, "long", str(default), doc, unit, low)


def _flag(name: str, doc: str) -> ConfigKey:
    return ConfigKey(name, "boolean", "false", doc)


_KEYS: Final = (
    ConfigKey("cleanup.policy", "list", "delete", values=("compact", "delete"),
              doc="What happens to old records: `delete` drops old segments, `compact` keeps the newest record of each "
                  "key; both may be given, and none keeps everything."),
    ConfigKey("compression.type", "string", "producer",
              values=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
              doc="How batches are compressed on disk; `producer` keeps what the producer chose."),
    _int("compression.gzip.level", -1, "Effort of gzip; -1 is its own default.", 1, 9, also=-1),
    _int("compression.lz4.level", 9, "Effort of lz4.", 1, 17),
    _int("compression.zstd.level", 3, "Effort of zstd.", -131072, 22),
    _long("delete.retention.ms", 86_400_000, "How long a compacted topic keeps tombstones.", 0, "ms"),
    _long("file.delete.delay.ms", 60_000, "How long a deleted segment's files stay on disk.", 0, "ms"),
    _long("flush.messages", LONG_MAX, "Records after which the log is forced to disk; best left to the system.", 1),
    _long("flush.ms", LONG_MAX, "Time after which the log is forced to disk; best left to the system.", 0, "ms"),
    ConfigKey("follower.replication.throttled.replicas", "list", "",
              "Replicas whose catching up is throttled on followers: `*`, or PARTITION:BROKER items."),
    _int("index.interval.bytes", 4096, "Bytes between two entries of the offset index.", 0, unit="bytes"),
    ConfigKey("leader.replication.throttled.replicas", "list", "",
              "Replicas whose catching up is throttled on leaders: `*`, or PARTITION:BROKER items."),
    _long("local.retention.bytes", -2, "Bytes a tiered partition keeps locally; -2 as retention.bytes.", -2, "bytes"),
    _long("local.retention.ms", -2, "Time a tiered record stays on the broker; -2 as retention.ms.", -2, "ms"),
    _long("max.compaction.lag.ms", LONG_MAX, "The longest time until a record may be compacted.", 1, "ms"),
    _int("max.message.bytes", 1_048_588, "The largest record batch that is taken.", 0, unit="bytes"),
    _long("message.timestamp.after.max.ms", 3_600_000, "How far a timestamp may be ahead of the broker.", 0, "ms"),
    _long("message.timestamp.before.max.ms", LONG_MAX, "How far a timestamp may be behind the broker.", 0, "ms"),
    ConfigKey("message.timestamp.type", "string", "CreateTime", values=("CreateTime", "LogAppendTime"),
              doc="Whether a record carries the producer's time or the time it was appended."),
    ConfigKey("min.cleanable.dirty.ratio", "double", "0.5", low=0, high=1,
              doc="The share of a compacted log that must be uncompacted before it is cleaned."),
    _long("min.compaction.lag.ms", 0, "The time a record stays uncompacted at least.", 0, "ms"),
    _int("min.insync.replicas", 1, "Replicas that must have a record before a write with acks=all is confirmed.", 1),
    _flag("preallocate", "Whether a segment's file gets its full size when it is made."),
    _flag("remote.log.copy.disable", "Whether a tiered topic stops copying segments to remote storage."),
    _flag("remote.log.delete.on.disable", "Whether turning tiered storage off deletes what is in remote storage."),
    _flag("remote.storage.enable", "Whether old segments move to remote storage; the brokers must offer it."),
    _long("retention.bytes", -1, "Bytes a partition keeps before old segments go; -1: no limit.", None, "bytes"),
    _long("retention.ms", 604_800_000, "Time a record is kept before its segment goes; -1 has no limit.", -1, "ms"),
    _int("segment.bytes", 1_073_741_824, "Size at which a new segment begins.", 1_048_576, unit="bytes"),
    _int("segment.index.bytes", 10_485_760, "Size of the offset index of a segment.", 4, unit="bytes"),
    _long("segment.jitter.ms", 0, "The most by which segment.ms is shortened at random.", 0, "ms"),
    _long("segment.ms", 604_800_000, "Time after which a new segment begins even if the old one is not full.", 1, "ms"),
    _flag("unclean.leader.election.enable", "Whether a replica that is behind may lead, which loses records."),
)  # fmt: skip

CONFIGS: Final[Mapping[str, ConfigKey]] = {key.name: key for key in _KEYS}

_THROTTLED: Final = tuple(name for name in CONFIGS if name.endswith(".throttled.replicas"))
_REMOVED: Final = {
    "message.format.version": "Kafka 4.0 removed it: all records have the newest format. Leave it out.",
    "message.downconversion.enable": "Kafka 4.0 removed it, with the old record formats. Leave it out.",
    "message.timestamp.difference.max.ms": "Kafka 4.0 removed it: use message.timestamp.before.max.ms and "
    "message.timestamp.after.max.ms.",
}


# -- values as Kafka stores them --------------------------------------------------------------------------------------
def canonical(key: str, value: str) -> str:
    """Return the value as a broker gives it back. Raises ValueError with one sentence on what Kafka refuses.

    Source: `ConfigDef.parseType` (trims, `Long.parseLong`, `Double.parseDouble`, any case of `true`) and
    `convertToString`. NaN and hexadecimal ratios, which Kafka takes, are refused. An unknown key's value is trimmed.
    """
    known = CONFIGS.get(key)
    if known is None:
        return value.strip()
    return _CANONICAL[known.type](known, value.strip())


def _whole(key: ConfigKey, value: str) -> str:
    if not re.fullmatch(r"[+-]?\d{1,40}", value):
        raise ValueError(f"{value!r} is not an integer")
    number = int(value)
    largest = INT_MAX if key.type == "int" else LONG_MAX
    if not -largest - 1 <= number <= largest:
        raise ValueError(f"{value} is outside of what Kafka's {key.type} holds ({-largest - 1} to {largest})")
    _within(key, number)
    return str(number)


def _within(key: ConfigKey, number: float) -> None:
    low, high = key.low, key.high
    if number == key.also or ((low is None or number >= low) and (high is None or number <= high)):
        return
    raise ValueError(f"{number} is not {key.constraint}")


def _ratio(key: ConfigKey, value: str) -> str:
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[fFdD]?", value):
        raise ValueError(f"{value!r} is not a number")
    number = float(value.rstrip("fFdD"))
    _within(key, number)
    return _java_double(number)


def _java_double(number: float) -> str:
    """Return `Double.toString`: below 0.001 the scientific notation of Java, `1.0E-4`."""
    from decimal import Decimal

    if number == 0 or 1e-3 <= abs(number) < 1e7:
        return repr(abs(number) if number == 0 else number)
    exponent = Decimal(repr(number)).adjusted()
    return f"{float(Decimal(repr(number)).scaleb(-exponent))!r}E{exponent}"


def _boolean(key: ConfigKey, value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise ValueError(f"{value!r} is not true or false")
    return value.lower()


def _string(key: ConfigKey, value: str) -> str:
    if key.values and value not in key.values:
        raise ValueError(f"{value!r} is not {key.constraint}{_nearest(value, key.values)}")
    return value


def _list(key: ConfigKey, value: str) -> str:
    items = re.split(r"\s*,\s*", value) if value else []
    if key.name in _THROTTLED:
        _check_throttled_replicas(items)
        return ",".join(items)
    if "" in items:
        raise ValueError("the list has an empty item")
    for item in items:
        if item not in key.values:
            raise ValueError(f"{item!r} is not {key.constraint}{_nearest(item, key.values)}")
    return ",".join(dict.fromkeys(items))


def _check_throttled_replicas(items: list[str]) -> None:
    """Check a list of throttled replicas as Kafka's `ThrottledReplicaListValidator` does."""
    if items != ["*"] and not all(re.fullmatch(r"(\d+:\d+)?", item, re.ASCII) for item in items):
        raise ValueError("it is neither `*` nor a list of PARTITION:BROKER")


def _nearest(value: str, values: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # 1 ms, for mistakes alone

    close = [each for each in values if each.lower() == value.lower()] or get_close_matches(value, values, 1)
    return f"; did you mean {close[0]}?" if close else ""


_CANONICAL: Final = {
    "int": _whole, "long": _whole, "double": _ratio, "boolean": _boolean, "string": _string, "list": _list,
}  # fmt: skip


def same(key: str, a: str, b: str) -> bool:
    """Whether both mean the same to Kafka: lists are sets, numbers are numbers."""
    if a == b:
        return True
    try:
        left, right = canonical(key, a), canonical(key, b)
    except ValueError:
        return a.strip() == b.strip()
    known = CONFIGS.get(key)
    if known is not None and known.type == "list":
        return set(left.split(",")) == set(right.split(","))
    if known is not None and known.type == "double":
        return float(left) == float(right)
    return left == right


# -- values as people write them --------------------------------------------------------------------------------------
_DURATIONS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SIZES: Final = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SPOKEN: Final = {
    "ms": (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)),
    "bytes": (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("TB", 10**12), ("GB", 10**9), ("MB", 10**6),
              ("KiB", 2**10)),
}  # fmt: skip
_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_DURATION: Final = late_pattern(rf"(?:{_NUMBER}\s*(ms|s|m|h|d|w)\s*)+", re.ASCII)
_DURATION_PART: Final = late_pattern(rf"{_NUMBER}\s*(ms|s|m|h|d|w)", re.ASCII)
_SIZE: Final = late_pattern(rf"{_NUMBER}\s*([kmgt]?i?b)", re.ASCII | re.IGNORECASE)
_WITH_UNIT: Final = late_pattern(r"[+-]?[\d.]+\s*[^\W\d_]", re.ASCII)


def parse(key: str, raw: Raw) -> str:
    """Return what a person wrote as Kafka stores it: durations and sizes with units, lists, true and false.

    Raises ValueError with one sentence on what Kafka would refuse or what has the wrong unit.
    """
    known = CONFIGS.get(key)
    if known is None:
        raise ValueError("Kafka has no topic config of that name")
    return canonical(key, _format_raw(known, raw))


def _format_raw(key: ConfigKey, raw: Raw) -> str:
    if raw is None:
        raise ValueError("it has no value" + ('; write "" for an empty list' if key.type == "list" else ""))
    if isinstance(raw, list):
        if key.type != "list":
            raise ValueError(f"a list is given, but it is {key.constraint}")
        return ",".join(_format_raw(key, item) for item in raw)
    if isinstance(raw, bool):
        if key.type != "boolean":
            raise ValueError(f"{str(raw).lower()} is not {key.constraint}")
        return str(raw).lower()
    if isinstance(raw, float):
        return str(int(raw)) if raw.is_integer() and key.type in ("int", "long") else repr(raw)
    if isinstance(raw, int):
        return str(raw)
    if not isinstance(raw, str):
        raise ValueError(f"it is not {key.constraint}")
    return _convert_unit(key, raw.strip())


def _convert_unit(key: ConfigKey, text: str) -> str:
    """Return `text` in milliseconds or bytes where it has a unit."""
    if key.type not in ("int", "long") or len(text) > 60 or not _WITH_UNIT.match(text):
        return text
    negative = text.startswith("-")
    amount = text.lstrip("+-")
    duration, size = _DURATION.fullmatch(amount), _SIZE.fullmatch(amount)
    if negative and (duration or size):
        raise ValueError(f"{text!r} is negative")
    if key.unit == "ms" and duration:
        return _exact(text, sum(_times(n, _DURATIONS[unit]) for n, unit in _DURATION_PART.findall(amount)))
    if key.unit == "bytes" and size:
        return _exact(text, _times(size[1], _SIZES[size[2].lower()]))
    raise ValueError(_wrong_unit(key, text, bool(duration), bool(size)))


def _times(number: str, factor: int) -> float:
    whole, _, fraction = number.partition(".")
    return int(whole) * factor + (int(fraction) * factor / 10 ** len(fraction) if fraction else 0)


def _exact(text: str, amount: float) -> str:
    if amount != int(amount):
        raise ValueError(f"{text!r} is not a whole number of its smallest unit")
    return str(int(amount))


def _wrong_unit(key: ConfigKey, text: str, duration: bool, size: bool) -> str:
    if key.unit == "ms":
        found = "is a size, but this is a duration" if size else "is not a duration"
        meant = _with_short_unit(text)
        ways = "write 7d, 12h, 90s or milliseconds (units ms s m h d w)"
        return f"{text!r} {found}: did you mean {meant}?" if meant else f"{text!r} {found}: {ways}"
    if key.unit == "bytes":
        found = "is a duration, but this is a size" if duration else "is not a size"
        return f"{text!r} {found}: write 1GiB, 512MiB, 100MB or bytes (units B KiB MiB GiB TiB KB MB GB TB)"
    return f"{text!r} has a unit, but this is {key.constraint}"


def _with_short_unit(text: str) -> str:
    """Return `7d` for `7 days`; empty where no unit is written out."""
    found = re.fullmatch(r"\s*([0-9]+)\s*([a-z]+)\s*", text.lower())
    words = {"ms": "millis", "s": "secs", "m": "mins", "h": "hrs", "d": "days", "w": "weeks"}
    longer = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    for unit in words if found else ():
        if found and found[2] in (words[unit], words[unit][:-1], longer[unit], longer[unit][:-1]):
            return found[1] + unit
    return ""


@lru_cache(4096)  # thousands of topics have the same few values
def human(key: str, value: str) -> str:
    """Return `7d` for 604800000 ms, `1GiB` for 1073741824 bytes; empty where that would add nothing."""
    known = CONFIGS.get(key)
    if known is None or known.unit is None or not re.fullmatch(r"\d{1,16}", value, re.ASCII):
        return ""
    number = int(value)
    units = _SPOKEN[known.unit]
    return next((f"{number // size}{unit}" for unit, size in units if number and number % size == 0), "")


# -- names ------------------------------------------------------------------------------------------------------------
def suggest(key: str) -> tuple[str, ...]:
    """Return the names nearest to `key`, best first."""
    from difflib import get_close_matches

    return tuple(get_close_matches(key.strip().lower().replace("_", "."), CONFIGS, 3, 0.7))


def explain_removed_config(key: str) -> str:
    """Return what to do instead of a config that Kafka 4.0 removed (its upgrade notes); empty for all others."""
    return _REMOVED.get(key, "")


def check_name(name: str) -> str | None:
    """Return what is wrong with a topic's name, if anything. Source: Kafka's `Topic.validate`."""
    if not name:
        return "it is empty"
    if name in (".", ".."):
        return "it must not be . or .."
    if len(name) > NAME_LENGTH:
        return f"it has {len(name)} characters, {NAME_LENGTH} are allowed"
    illegal = sorted(set(re.sub(r"[A-Za-z0-9._-]", "", name)))
    return f"it has {', '.join(repr(each) for each in illegal)}, allowed are a-z A-Z 0-9 . _ -" if illegal else None


def metric_name(name: str) -> str:
    """Return what Kafka's metrics make of a name: of two topics with the same one, the second is refused (error 17)."""
    return name.replace(".", "_")


# -- configs together -------------------------------------------------------------------------------------------------
def cross_check(config: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return configs that contradict each other: (key, problem). Values are canonical; what is not set has its default.

    Source: `LogConfig.validateTopicLogConfigValues`. Kafka compares local with total retention only where
    `remote.storage.enable` is true (measured on 4.3.1).
    """
    found = []
    low, high = _value(config, "min.compaction.lag.ms"), _value(config, "max.compaction.lag.ms")
    if low > high:
        problem = f"min.compaction.lag.ms {low} is more than max.compaction.lag.ms {high}"
        found.append(("min.compaction.lag.ms", problem))
    if config.get("remote.storage.enable") == "true":
        found += _find_tiering_problems(config)
    return found


def _find_tiering_problems(config: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    if config.get("cleanup.policy", "delete") != "delete":
        found.append(("remote.storage.enable", "remote.storage.enable needs cleanup.policy delete and nothing else"))
    for total_key in ("retention.bytes", "retention.ms"):
        local, total = _value(config, f"local.{total_key}"), _value(config, total_key)
        if (local == -1 and total != -1) or local > total >= 0:
            found.append((f"local.{total_key}", f"local.{total_key} {local} is more than {total_key} {total}"))
        elif config.get("remote.log.copy.disable") == "true" and local not in (-2, total):
            found.append((f"local.{total_key}", f"with remote.log.copy.disable it must be -2, or {total_key}"))
    return found


def _value(config: Mapping[str, str], key: str) -> int:
    try:
        return int(config.get(key, CONFIGS[key].default))
    except ValueError:
        return int(CONFIGS[key].default)
