"""What the records of the state's topic amount to does not depend on how far brokers have compacted it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError

from kplan.kinds.quota.quota import Quota
from kplan.kinds.user.user import ScramUser
from kplan.model import Address, Connector, Owned, Topic
from kplan.model.journal import Entry, Item
from kplan.state.base import make_history_key, make_ledger_key, make_summary_key
from kplan.state.kafka.log import (
    Json,
    Log,
    NewestRecords,
    encode_json,
    is_history,
    make_journal_records,
    make_ledger_record,
)
from kplan.state.kafka.store import KafkaStore
from kplan.state.kafka.topic import COMPACTION, EARLIER_COMPACTION, find_missing_compaction
from kplan.state.signing import Signer

NOW = "2026-08-22T10:15:02Z"
STACKS, TOPICS, RUNS = ("a", "b"), ("orders", "users"), ("r1", "r2", "r3")
Written = tuple[bytes | None, int, bytes | None]


def random_records(seed: int) -> list[Written]:
    """Claims, journals, summaries and locks of two stacks, written, replaced and removed; some cannot be read."""
    dice = random.Random(seed)
    made: list[tuple[str, Any]] = []
    for _ in range(200):
        stack, run, address = dice.choice(STACKS), dice.choice(RUNS), Address("topic", dice.choice(TOPICS))
        item = Item(0, str(address), {"actions": ["update"]})
        entry = Entry(run, stack, dice.randrange(3), dice.choice(["begin", "will", "end"]), NOW, 0, (item,))
        owned = Owned(address, stack, "dev", created=True, run=run, at=NOW)
        claim = make_ledger_record(owned, dice.choice([None, dice.randrange(50)]))
        about = {"outcome": "applied", "began": NOW, "ended": NOW, "counts": {}, "about": {}, "created": 0, "failed": 0}
        lock = {"state": "held", "who": "ann", "run": run, "command": "kplan apply", "since": NOW, "pid": 1}
        made += dice.choice([[claim], make_journal_records(entry), [(make_summary_key(stack, run), {"v": 1, **about})],
                             [(f"stack/{stack}/lock", {"v": 1, **lock})], [(claim[0], {"v": 9})], [(claim[0], None)],
                             [(key, None) for key, _ in make_journal_records(entry)]])  # fmt: skip
    return [(key.encode(), 2 * offset, value if value is None else encode_json(value))
            for offset, (key, value) in enumerate(made)]  # fmt: skip


def log_of(records: Iterable[Written], log: Log | None = None) -> Log:
    log = Log() if log is None else log
    for key, offset, value in records:
        log.put(offset, key, value)
    return log


def newest(records: Sequence[Written], is_whole: bool) -> NewestRecords:
    found = NewestRecords(is_whole)
    for record in records:
        found.add(*record)
    return found


def meaning(log: Log) -> Any:
    """What a plan, `kplan recover` and `kplan history` take from the log.

    Of a claim that cannot be read, all that counts is that it cannot: what was before it, compaction removes.
    """
    claims = {(address, stack): (claim.claimed, claim.owned) for address, claims in log.claims.items()
              for stack, claim in claims.items() if make_ledger_key(stack, address) not in log.broken}  # fmt: skip
    unreadable = sorted((each.stack, each.message) for each in log.list_unreadable())
    runs = {key: {at: (name, value) for at, (_, name, value) in run.records.items()} for key, run in log.runs.items()}
    return claims, runs, log.open_runs(), log.locks, log.list_summaries(), unreadable


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_record_of_each_key_says_what_all_of_them_say(seed: int) -> None:
    records = random_records(seed)
    whole = newest(records, is_whole=True)
    assert meaning(log_of(whole)) == meaning(log_of(records))
    assert whole.count == len(records) > 3 * len(list(whole))
    half = len(records) // 2
    grown = log_of(newest(records[half:], is_whole=False), log_of(newest(records[:half], is_whole=True)))
    assert meaning(grown) == meaning(log_of(records))


def test_a_removal_counts_where_the_record_was_read_before() -> None:
    claim, value = make_ledger_record(
        Owned(Address("topic", "orders"), "a", "dev", created=True, run="r", at=NOW), None
    )
    first: Written = (claim.encode(), 0, json.dumps(value).encode())
    log = log_of([first])
    assert log.find_owners()
    log_of(newest([(claim.encode(), 5, None)], is_whole=False), log)
    assert not log.find_owners() and not list(newest([first, (claim.encode(), 5, None)], is_whole=True))


def test_a_foreign_record_is_still_noticed() -> None:
    records: list[Written] = [(b"other", 0, b"1"), (b"other", 2, b"2"), (None, 4, b"3")]
    assert log_of(newest(records, is_whole=True)).foreign == {"other", ""}


@pytest.mark.parametrize("earlier", EARLIER_COMPACTION, ids=["one day", "one minute"])
def test_a_topic_of_an_earlier_version_gets_the_settings_of_this_one(earlier: dict[str, str]) -> None:
    own = {"cleanup.policy": "compact", **earlier}
    assert {**own, **find_missing_compaction(own)} == {**own, **COMPACTION}
    kept = {**own, "delete.retention.ms": "7"}
    assert {**kept, **find_missing_compaction(kept)} == {**own, **COMPACTION, "delete.retention.ms": "7"}


@pytest.mark.parametrize(
    "own",
    [
        {},
        dict(COMPACTION),
        {**EARLIER_COMPACTION[0], "segment.ms": "3600000"},
        {**EARLIER_COMPACTION[1], "min.cleanable.dirty.ratio": "0.5"},
    ],
)
def test_settings_that_somebody_chose_stay(own: dict[str, str]) -> None:
    assert find_missing_compaction(own) == {}


def test_a_time_that_brokers_refuse_is_a_matter_of_clocks() -> None:
    clients = KafkaStore({"bootstrap.servers": "127.0.0.1:9"}, "__team")._clients
    problem = clients.explain_problem(
        KafkaError(KafkaError.INVALID_TIMESTAMP, "Broker: Invalid timestamp"), "it cannot be written"
    )
    assert "clocks" in problem.help and "message.timestamp.type=LogAppendTime on __team" in problem.help


def make_values() -> Iterator[tuple[Address, Json]]:
    """Yield records of the ledger that are alike: in all but the name, the claim, one setting, or the kind."""
    config = {"retention.ms": "1"}
    for number in range(3):
        topic, connector = Topic(f"t{number}", 3, 2, config), Connector(f"t{number}", {"connector.class": "a"})
        user = ScramUser(f"t{number}", {"SCRAM-SHA-256": 1})
        quota = Quota("user=alice,client-id=etl", {"request_percentage": 5.0})
        for resource in (topic, connector, quota, user, Topic(f"u{number}", 3, 2, {**config, "a": str(number)})):
            for claimed in (None, 0, number, 900):
                owned = Owned(resource.address, "a", "dev", created=True, applied=resource, run="r", at=NOW)
                yield resource.address, make_ledger_record(owned, claimed)[1] or {}
        yield Address("topic", "odd"), {"v": 1, "stack": "a", "x": {"a": 1, "claimed": number}}
        yield Address("topic", "t1"), {"v": 1, "stack": "a", "created": True, "claimed": "5"}


def put_value(log: Log, offset: int, address: Address, value: Json) -> Any:
    """Return what the log has of the resource after one record more."""
    key = make_ledger_key("a", address)
    log.put(offset, key.encode(), encode_json(value))
    claim = log.claims.get(address, {}).get("a")
    problem = log.broken.get(key)
    return claim and (claim.claimed, claim.owned, claim.owned.applied, claim.fault), problem and problem.message


@pytest.mark.parametrize("key", ["", "secret"])
def test_a_value_that_was_read_before_means_what_it_means_alone(key: str) -> None:
    signer = Signer(key)
    log = Log(signer=signer)
    for offset, (address, value) in enumerate(make_values(), 100):
        signed = Signer("secret").sign(make_ledger_key("a", address), value) if offset % 2 else value
        log.claims.pop(address, None)
        assert put_value(log, offset, address, signed) == put_value(Log(signer=signer), offset, address, signed)


def test_records_of_histories_are_known_by_their_keys() -> None:
    assert is_history(make_history_key("a", "acl/User:a/allow read topic history/x").encode())
    others = (
        "stack/a/history", "stack/a/history/topic", "stack/history/topic/a", "stack//history/topic/a", "x/a/history/b/c"
    )  # fmt: skip
    assert not any(is_history(key.encode()) for key in others) and not is_history(None)


@pytest.mark.parametrize("text", ['{"v":1,"outcome":5}', '{"v":1,nonsense}', '{"v":2,"outcome":"applied"}', "nonsense"])
def test_a_summary_that_cannot_be_read_is_named_where_it_matters(text: str) -> None:
    """It alone says that its run has ended; of a run without details, it is a part of the history."""
    key = make_summary_key("a", "r1").encode()
    (begin_key, begin), *_ = make_journal_records(Entry("r1", "a", 0, "begin", NOW))
    log = log_of([(begin_key.encode(), 0, encode_json(begin or {})), (key, 1, text.encode())])
    assert log.open_runs() == {"r1": "a"} and len(log.list_unreadable()) == 1
    alone = log_of([(key, 1, text.encode())])
    assert [record.damage for record in alone.list_records() if "cannot be read" in record.damage]
    assert not alone.list_summaries() and len(alone.list_unreadable()) == 1
    log_of([(key, 2, None)], alone)
    assert not alone.list_unreadable()
