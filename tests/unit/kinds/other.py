"""Two tiny kinds that only tests register: policies, which hold a secret, and mirrors, which run and move records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from kplan.kinds.comparison import Blocker, Compared, Differing, Value, find_cause
from kplan.kinds.views import Flow, Views
from kplan.kinds.wording import Wording
from kplan.model import Address, AttrDiff, Change, ChangeOptions, Health, Origin, Resource, Rules, Secret, Text
from kplan.model.codec import text_from_json, text_to_json
from kplan.model.comparison import equal
from kplan.model.fields import Json


@dataclass(frozen=True, slots=True)
class Policy(Resource):
    kind: ClassVar[str] = "policy"

    level: int = 0
    password: Text = ""


@dataclass(frozen=True, slots=True)
class Mirror(Policy):
    kind: ClassVar[str] = "mirror"


class OtherEncoding:
    def __init__(self, resource: type[Policy]) -> None:
        self.resource = resource

    def encode(self, policy: Policy) -> Json:
        return {"level": policy.level, "password": text_to_json(policy.password)}

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Policy:
        password = text_from_json(fields["password"])
        assert isinstance(password, str | Secret)
        return self.resource(name, fields["level"], password, origin=origin, rules=rules)

    def describe(self, policy: Policy) -> Mapping[str, Any]:
        return {"name": policy.name, "level": policy.level, "password": policy.password}

    def encode_options(self, options: ChangeOptions) -> Json:
        return {}

    def decode_options(self, fields: Mapping[str, Any], common: ChangeOptions) -> ChangeOptions:
        return common


class OtherComparison:
    def attributes(self, policy: Policy) -> Mapping[str, Value]:
        return {"/level": policy.level, "/password": policy.password}

    def read_attribute(self, policy: Policy, path: str) -> Value:
        return self.attributes(policy).get(path)

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        if isinstance(one, Secret) or isinstance(other, Secret):
            texts = [Secret(value=each) if isinstance(each, str) else each for each in (one, other)]
            return equal(texts[0], texts[1])  # type: ignore[arg-type]
        return one == other

    def uses(self, policy: Policy) -> frozenset[Address]:
        return frozenset()

    def compare(self, declared: Policy, live: Policy, applied: Policy | None) -> Compared:
        here, there = self.attributes(declared), self.attributes(live)
        last = self.attributes(applied) if applied else {}
        diffs = tuple(
            AttrDiff(path, there[path], value, find_cause(value, there[path], last.get(path), applied is not None))
            for path, value in here.items()
            if not self.is_same(path, value, there[path])
        )
        return Compared(diffs, (), len(here) - len(diffs))

    def find_differing(self, then: Policy, now: Policy) -> list[Differing]:
        return [(diff.path, diff.after, diff.before) for diff in self.compare(then, now, None).diffs]

    def find_set_since(self, change: Change, now: Policy) -> list[str]:
        return []

    def is_anothers(self, change: Change, now: Policy) -> bool:
        return False

    def find_blocker(self, declared: Policy, live: Policy, diff: AttrDiff) -> Blocker | None:
        return None

    def secrets(self, policy: Policy) -> Mapping[str, Secret]:
        return {"/password": policy.password} if isinstance(policy.password, Secret) else {}

    def with_values(self, policy: Policy, values: Mapping[str, Any]) -> Policy:
        return replace(policy, **{path.removeprefix("/"): value for path, value in values.items()})


class PolicyViews(Views[Policy]):
    plural = "policies"

    def is_internal(self, name: str, is_owned: bool, internal_topics: Collection[str]) -> bool:
        return name.startswith("_")

    def describe_row(self, policy: Policy, health: Health | None) -> Json:
        return {"level": policy.level, "weight": 7}

    def is_left_out(self, name: str) -> bool:
        return name.startswith("_")


class MirrorViews(Views[Mirror]):
    """A mirror is healthy where it is there, and copies topic A to topic B if its name is A-B."""

    plural = "mirrors"
    moves_records = True
    has_health = True
    is_ready_when_there = False

    def is_to_run(self, mirror: Mirror) -> bool:
        return True

    def find_flows(self, address: str, fields: Mapping[str, Any]) -> Iterable[Flow]:
        start, _, end = address.removeprefix("mirror/").partition("-")
        return [(f"topic/{start}", address), (address, f"topic/{end}")]


class OtherWording(Wording):
    """The usual words."""


class OtherKind:
    server = "kafka"
    reads_all = False
    is_in_every_plan = False
    unread_effect = ""
    holds_secrets = True
    reads_databases = False
    move_refusal = None
    comparison = OtherComparison()
    wording = OtherWording()

    def __init__(self, resource: type[Policy], views: Views[Any]) -> None:
        self.name = resource.kind
        self.encoding = OtherEncoding(resource)
        self.views = views

    def check_name(self, name: str) -> str:
        return ""


OTHERS = {kind.name: kind for kind in (OtherKind(Policy, PolicyViews()), OtherKind(Mirror, MirrorViews()))}
