"""The gateway lets in whom it is told to, and kplan's client says why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Denied
from kplan.model.masks import Mask
from kplan.servers.access import Access, Pacing
from kplan.servers.registry.api import RegisteredSchema
from kplan.servers.registry.client import RegistryClient
from tests.fakes.confluent_registry import ConfluentRegistry, serve_registry
from tests.fakes.registry_gateway import guard_registry, is_write, require_certificate, write_basic, write_bearer
from tests.services.secure import Authority

SCHEMA = RegisteredSchema("avro", '"string"')
LOGINS = {write_basic("ann", "pass:word"): True, write_basic("eve", "other"): False, write_bearer("token-1"): True}


@contextmanager
def enter(url: str, **access: str) -> Iterator[RegistryClient]:
    client = RegistryClient(Access([url], **access), Pacing(attempts=1), Mask())
    yield client
    client.close()


@pytest.fixture
def inner() -> Iterator[str]:
    """A registry behind the gateway."""
    with serve_registry(ConfluentRegistry()) as url:
        yield url


@pytest.mark.parametrize("access", [{"username": "ann", "password": "pass:word"}, {"token": "token-1"}], ids=str)
def test_a_known_login_reads_and_writes(inner: str, access: dict[str, str]) -> None:
    with guard_registry(inner, LOGINS) as url, enter(url, **access) as client:
        client.register("s", SCHEMA)
        assert client.list_subjects() == ["s"]


@pytest.mark.parametrize("access", [{}, {"username": "ann", "password": "wrong"}, {"token": "token-2"}], ids=str)
def test_an_unknown_login_is_denied(inner: str, access: dict[str, str]) -> None:
    with guard_registry(inner, LOGINS) as url, enter(url, **access) as client, pytest.raises(Denied) as failure:
        client.list_subjects()
    assert "401" in failure.value.message
    assert "wrong" not in failure.value.message


def test_a_user_who_may_only_read_looks_up_and_checks_but_does_not_register(inner: str) -> None:
    with enter(inner) as direct:
        direct.register("s", SCHEMA)
    with guard_registry(inner, LOGINS) as url, enter(url, username="eve", password="other") as client:
        assert client.find("s", SCHEMA) is not None
        assert client.check("s", SCHEMA, all_versions=False).is_compatible
        changes: list[Callable[[], Any]] = [
            lambda: client.register("new", SCHEMA),
            lambda: client.set_level("s", "FULL"),
            lambda: client.delete_subject("s"),
        ]
        for change in changes:
            with pytest.raises(Denied) as failure:
                change()
            assert "403" in failure.value.message
        assert client.list_subjects() == ["s"]


def test_a_certificate_of_the_clients_authority_is_let_in_and_no_other(inner: str, tmp_path: Path) -> None:
    servers, clients, strangers = (Authority(name, tmp_path) for name in ("servers", "clients", "strangers"))
    tls = require_certificate(*servers.sign("registry"), clients.file)
    with guard_registry(inner, tls=tls) as url:
        certificate, key = (str(file) for file in clients.sign("ann"))
        with enter(url, ca=str(servers.file), certificate=certificate, key=key) as client:
            client.register("s", SCHEMA)
            assert client.list_subjects() == ["s"]
        certificate, key = (str(file) for file in strangers.sign("eve"))
        for own in ({"certificate": certificate, "key": key}, {}):
            with enter(url, ca=str(servers.file), **own) as client, pytest.raises(Denied):
                client.list_subjects()


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/subjects", False),
        ("POST", "/subjects/s?normalize=true", False),
        ("POST", "/compatibility/subjects/s/versions?verbose=true", False),
        ("POST", "/subjects/s/versions?normalize=true", True),
        ("PUT", "/config/s", True),
        ("DELETE", "/subjects/s", True),
    ],
)
def test_only_what_changes_something_is_a_write(method: str, path: str, expected: bool) -> None:
    assert is_write(method, path) is expected
