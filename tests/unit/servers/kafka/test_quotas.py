"""What is sent for quotas, and what is made of the answers, and of a client that is not there."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from kplan.diagnostics import KplanError, Timeout
from kplan.kinds.quota.quota import Quota
from kplan.model import Action, AttrDiff, Change, frozen
from kplan.servers.kafka import quotas
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.quotas import KafkaQuotas, list_operations

NAME = "user=etl,client-id=a%2Cb"
BROKERS = {"bootstrap.servers": "127.0.0.1:1"}


def change(before: dict[str, float] | None, after: dict[str, float] | None, *gone: str) -> Change:
    had, has = (None if each is None else Quota(NAME, frozen(each)) for each in (before, after))
    action = Action.CREATE if had is None else Action.DELETE if has is None else Action.UPDATE
    made = has or had
    assert made is not None
    return Change(made.address, action, had, has, tuple(AttrDiff(f"/limits/{key}", 1, None) for key in gone))


def backend(monkeypatch: pytest.MonkeyPatch, *entries: Any) -> tuple[KafkaQuotas, list[Any]]:
    """The backend, whose requests are recorded and answered with these entries."""
    made = KafkaQuotas(Client(BROKERS, 1, 1, 0, (), print))
    sent: list[Any] = []

    def send(request: Any) -> Any:
        sent.append(request)
        return SimpleNamespace(entries=entries, error_code=0)

    monkeypatch.setattr(made, "_send", send)
    return made, sent


def entry(code: int = 0, message: str | None = None) -> Any:
    entity = [SimpleNamespace(entity_type="client-id", entity_name="a,b"),
              SimpleNamespace(entity_type="user", entity_name="etl")]  # fmt: skip
    return SimpleNamespace(error_code=code, error_message=message, entity=entity)


@pytest.mark.parametrize(
    ("asked", "operations"),
    [
        (change(None, {"b": 2, "a": 1}), [("a", 1, False), ("b", 2, False)]),
        (change({"a": 1, "b": 2}, {"a": 3}, "b"), [("a", 3, False), ("b", 0, True)]),
        (change({"a": 1, "b": 2}, None), [("a", 0, True), ("b", 0, True)]),
        (change({"a": 1, "foreign": 2}, {"a": 3}), [("a", 3, False)]),
    ],
    ids=["create", "update", "delete", "the limits of others stay"],
)
def test_all_limits_of_an_entity_are_one_entry(asked: Change, operations: list[tuple[str, float, bool]]) -> None:
    assert list_operations(asked) == operations


def test_a_check_changes_nothing_and_an_act_does(monkeypatch: pytest.MonkeyPatch) -> None:
    made, sent = backend(monkeypatch, entry())
    asked = change(None, {"producer_byte_rate": 5})
    assert made.check([asked]) == {asked.address: []}
    assert made.act([asked], {})[asked.address].ok
    assert [request.validate_only for request in sent] == [True, False]


def test_a_refusal_has_the_words_of_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entity comes back with its parts in another order."""
    made, _ = backend(monkeypatch, entry(42, "Quota producer_byte_rate must be greater than 0"))
    asked = change(None, {"producer_byte_rate": 0})
    assert "must be greater than 0" in made.act([asked], {})[asked.address].reason
    (found,) = made.check([asked])[asked.address]
    assert "must be greater than 0" in found.detail


def test_a_missing_right_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = backend(monkeypatch, entry(31))
    asked = change(None, {"producer_byte_rate": 5})
    assert "AlterConfigs on Cluster" in made.act([asked], {})[asked.address].reason


def test_what_the_answer_does_not_name_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = backend(monkeypatch)
    asked = change(None, {"producer_byte_rate": 5})
    failure = made.act([asked], {})[asked.address].error
    assert isinstance(failure, Timeout) and failure.applied is None


def test_without_the_extra_the_pip_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    made = KafkaQuotas(Client(BROKERS, 1, 1, 0, (), print))
    monkeypatch.setattr(quotas, "is_installed", lambda: False)
    monkeypatch.setitem(sys.modules, "kafka", None)
    with pytest.raises(KplanError) as refused:
        made.read(None)
    assert (refused.value.code, refused.value.exit_code) == ("K342", 4)
    assert "pip install 'kplan[admin]'" in refused.value.help


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "GSSAPI"])
def test_a_login_that_the_second_client_lacks_is_named(monkeypatch: pytest.MonkeyPatch, mechanism: str) -> None:
    made = KafkaQuotas(Client(BROKERS, 1, 1, 0, (), print))
    monkeypatch.setattr(
        made._client.client, "config", {**BROKERS, "security.protocol": "SASL_SSL", "sasl.mechanism": mechanism}
    )
    with pytest.raises(KplanError, match=mechanism) as refused:
        made.read(None)
    assert (refused.value.code, refused.value.exit_code) == ("K328", 4)
