"""Tokens of a real issuer over HTTP: when they are fetched, how each failure reads, and that no secret is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Busy, Denied, ErrorClass, Invalid, KplanError, Unreachable
from kplan.model.masks import HIDDEN, Mask
from kplan.servers.access import OidcLogin
from kplan.servers.tokens import TokenSource
from tests.fakes.clock import FakeTime
from tests.fakes.registry_gateway import require_certificate
from tests.services.issuer import Issuer, run_issuer
from tests.services.secure import Authority

SECRET = "canary+client/secret 1"


@pytest.fixture(scope="module")
def running() -> Iterator[Issuer]:
    with run_issuer({"kplan": SECRET}) as issuer:
        yield issuer


@pytest.fixture
def issuer(running: Issuer) -> Iterator[Issuer]:
    yield running
    running.seconds, running.answer = 300, None


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


Make = Callable[..., TokenSource]


@pytest.fixture
def make(issuer: Issuer, fake_time: FakeTime) -> Iterator[Make]:
    made: list[TokenSource] = []

    def build(**options: Any) -> TokenSource:
        login = OidcLogin("connect.oidc", issuer.token_url, "kplan", SECRET)
        made.append(TokenSource(replace(login, **options), Mask(), 5, fake_time.clock))
        return made[-1]

    yield build
    for source in made:
        source.close()


def test_a_token_is_fetched_once_and_renewed_before_it_expires(issuer: Issuer, make: Make, fake_time: FakeTime) -> None:
    source = make()
    first = source.find()
    assert issuer.accepts(f"Bearer {first}")
    fake_time.sleep(269)
    assert source.find() == first
    fake_time.sleep(2)  # 29 s before its end
    assert source.find() != first


def test_a_short_token_is_renewed_after_four_fifths_of_its_life(
    issuer: Issuer, make: Make, fake_time: FakeTime
) -> None:
    issuer.seconds = 10
    source = make()
    first = source.find()
    fake_time.sleep(7.9)
    assert source.find() == first
    fake_time.sleep(0.2)
    assert source.find() != first


def test_a_token_without_an_end_is_kept(issuer: Issuer, make: Make, fake_time: FakeTime) -> None:
    answers = iter([b'{"access_token": "token-1"}', b'{"access_token": "token-2"}'])
    issuer.answer = lambda: (200, next(answers))
    source = make()
    assert source.find() == "token-1"
    fake_time.sleep(10**6)
    assert source.find() == "token-1"
    assert source.replace("token-1") == "token-2"
    assert source.replace("token-1") == "token-2", "another thread has replaced it"


def test_threads_fetch_one_token(issuer: Issuer, make: Make) -> None:
    source, issued = make(), len(issuer.issued)
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: source.find(), range(16)))
    assert len(tokens) == 1 and len(issuer.issued) == issued + 1


def test_an_issuer_that_is_down_takes_no_valid_token_away(issuer: Issuer, make: Make, fake_time: FakeTime) -> None:
    source = make()
    first = source.find()
    issuer.answer = lambda: (503, b"")
    fake_time.sleep(280)
    assert source.find() == first
    fake_time.sleep(21)
    with pytest.raises(Busy, match="503"):
        source.find()


def test_scope_and_parameters_are_sent(issuer: Issuer, make: Make) -> None:
    make(scope="a b", parameters={"audience": "https://connect"}).find()
    assert issuer.forms[-1] == {"grant_type": "client_credentials", "scope": "a b", "audience": "https://connect"}


def test_the_secret_goes_into_the_body_where_the_issuer_wants_it(
    issuer: Issuer, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    make(client_authentication="client_secret_post").find()
    assert issuer.forms[-1]["client_secret"] == SECRET


def find_failure(source: TokenSource) -> KplanError:
    with pytest.raises(KplanError) as failure:
        source.find()
    assert SECRET not in failure.value.message + failure.value.help
    return failure.value


def test_an_unreachable_endpoint_is_named_and_may_be_asked_again(make: Make) -> None:
    failure = find_failure(make(token_url="http://user:hidden@127.0.0.1:9/token?x=1"))
    assert isinstance(failure, Unreachable) and failure.error_class is ErrorClass.RETRIABLE
    assert failure.message == "token endpoint http://127.0.0.1:9/token: Connection refused"
    assert "connect.oidc.token_url" in failure.help


def test_a_wrong_secret_is_said_in_the_issuers_words(make: Make) -> None:
    failure = find_failure(make(client_secret="wrong-canary"))
    assert isinstance(failure, Denied) and failure.code == "K336"
    assert "answers 401: invalid_client: the client or its secret is wrong" in failure.message
    assert "connect.oidc.client_secret" in failure.help


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"{}", "no `access_token`"),
        (200, b'{"access_token": 5}', "no `access_token`"),
        (200, b"[]", "not a JSON object"),
        (200, b"<html>", "not a JSON object"),
        (302, b"", "it answers 302"),
        (404, b"<html>", "it answers 404"),
    ],
)
def test_an_answer_without_a_token_names_the_url(
    issuer: Issuer, make: Make, status: int, body: bytes, words: str
) -> None:
    issuer.answer = lambda: (status, body)
    failure = find_failure(make())
    assert failure.code == "K336" and words in failure.message
    assert "connect.oidc.token_url" in failure.help


def test_an_issuer_that_repeats_the_secret_does_not_make_it_known(issuer: Issuer, make: Make) -> None:
    issuer.answer = lambda: (400, json.dumps({"error": "invalid_client", "error_description": SECRET}).encode())
    assert HIDDEN in find_failure(make()).message


def test_an_untrusted_endpoint_names_the_authority(tmp_path: Path, make: Make) -> None:
    servers = Authority("issuers", tmp_path)
    with run_issuer({"kplan": SECRET}, require_certificate(*servers.sign("issuer"))) as issuer:
        failure = find_failure(make(token_url=issuer.token_url))
        assert failure.code == "K317" and "connect.oidc.ca" in failure.help
        assert make(token_url=issuer.token_url, ca=str(servers.file)).find() == issuer.issued[-1]


def test_an_unusable_authority_is_an_error_of_the_file(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"connect\.oidc\.ca"):
        make(ca=str(tmp_path / "missing.pem"))


def test_a_proxy_of_its_own_is_used(make: Make) -> None:
    failure = find_failure(make(token_url="http://issuer.invalid/token", proxy="http://ann:hidden-1@127.0.0.1:9"))
    assert isinstance(failure, Unreachable) and "through the proxy" in failure.message
    assert "connect.oidc.proxy" in failure.help and "hidden-1" not in failure.message


def test_the_mask_learns_secret_and_token(issuer: Issuer) -> None:
    mask = Mask()
    source = TokenSource(OidcLogin("connect.oidc", issuer.token_url, "kplan", SECRET), mask, 5)
    token = source.find()
    assert mask.mask(f"{SECRET} {token}") == f"{HIDDEN} {HIDDEN}"
    source.close()
