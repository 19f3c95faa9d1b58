"""Amazon's and Google's own libraries make tokens here: with invented credentials, and an issuer in Google's place."""

from __future__ import annotations

import base64
import importlib.util
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kplan.diagnostics import CapabilityMissing, Denied, KplanError, Unreachable
from kplan.servers.kafka.cloud_tokens import BrokerToken, TokenCallback, create_callback
from tests.fakes.clock import FakeTime
from tests.fakes.http import Handler, serving
from tests.services.issuer import Issuer, create_service_account, run_issuer

ACCOUNT = "kplan@project.iam.gserviceaccount.com"
ROLE = "arn:aws:iam::123456789012:role/kplan"


# -- Amazon -----------------------------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def no_own_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide what this machine has of its own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.setenv(name, str(tmp_path / "missing"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def set_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret-key")


def read_presigned(token: BrokerToken) -> dict[str, str]:
    """Return the host of the URL that a token is, and its parameters."""
    url = urlsplit(base64.urlsafe_b64decode(token.value + "=" * (-len(token.value) % 4)).decode())
    return {"host": url.netloc, **{key: values[0] for key, values in parse_qs(url.query).items()}}


def test_amazons_token_is_a_presigned_url_of_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    set_keys(monkeypatch)
    token = create_callback({"aws_msk_iam": {"region": "eu-central-1"}}).fetch()
    url = read_presigned(token)
    assert url["host"] == "kafka.eu-central-1.amazonaws.com"
    assert (url["Action"], url["X-Amz-Expires"]) == ("kafka-cluster:Connect", "900")
    day, _, rest = url["X-Amz-Credential"].removeprefix("AKIDEXAMPLE/").partition("/")
    assert rest == "eu-central-1/kafka-cluster/aws4_request"
    assert len(url["X-Amz-Signature"]) == 64 and "canary" not in token.value
    signed = datetime.strptime(url["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert token.end == signed.timestamp() + 900 and url["X-Amz-Date"].startswith(day)


def test_a_profile_is_read_from_the_file_of_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credentials"
    file.write_text("[prod]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = canary-profile\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    token = create_callback({"aws_msk_iam": {"region": "us-east-1", "profile": "prod"}}).fetch()
    assert read_presigned(token)["X-Amz-Credential"].startswith("AKIDPROFILE/")
    failure = find_failure({"aws_msk_iam": {"region": "us-east-1", "profile": "stage"}})
    assert failure.code == "K336" and "stage" in failure.message


def test_a_role_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_keys(monkeypatch)
    asked: list[dict[str, list[str]]] = []

    class SecurityTokens(Handler):
        def do_POST(self) -> None:
            asked.append(parse_qs(self.read_body().decode()))
            if asked[-1]["RoleArn"] != [ROLE]:
                error = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not this role</Message></Error>"
                self.send(403, f"<ErrorResponse>{error}</ErrorResponse>".encode())
                return
            fields = {
                "AccessKeyId": "ASIAROLE",
                "SecretAccessKey": "canary-role",
                "SessionToken": "session-1",
                "Expiration": "2999-01-01T00:00:00Z",
            }
            credentials = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
            result = f"<AssumeRoleResult><Credentials>{credentials}</Credentials></AssumeRoleResult>"
            self.send(200, f"<AssumeRoleResponse>{result}</AssumeRoleResponse>".encode())

    with serving(SecurityTokens) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        token = create_callback({"aws_msk_iam": {"region": "eu-central-1", "role": ROLE}}).fetch()
        refused = find_failure({"aws_msk_iam": {"region": "eu-central-1", "role": f"{ROLE}-2"}})
    presigned = read_presigned(token)
    assert presigned["X-Amz-Credential"].startswith("ASIAROLE/")
    assert presigned["X-Amz-Security-Token"] == "session-1"
    assert asked[0]["RoleSessionName"] == ["kplan"]
    assert refused.code == "K336" and "not this role" in refused.message


def find_failure(login: dict[str, Any]) -> KplanError:
    with pytest.raises(KplanError) as failure:
        create_callback(login)
    assert "canary" not in failure.value.message
    return failure.value


def test_missing_credentials_of_amazon_are_named() -> None:
    failure = find_failure({"aws_msk_iam": {"region": "eu-central-1"}})
    assert isinstance(failure, Denied) and failure.code == "K336"
    assert "it finds no credentials here" in failure.message and "AWS_ACCESS_KEY_ID" in failure.help


# -- Google -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with run_issuer({}) as running:
        yield running


@pytest.fixture
def account(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    key = create_service_account(issuer, ACCOUNT)
    use_key(key, tmp_path, monkeypatch)
    return key


def use_key(key: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))


def decode_part(part: str) -> str:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


@pytest.mark.usefixtures("account")
def test_googles_token_wraps_what_the_issuer_gave(issuer: Issuer) -> None:
    token = create_callback({"gcp": {}}).fetch()
    head, claims, signature = map(decode_part, token.value.split("."))
    assert json.loads(head) == {"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}
    assert signature == issuer.issued[-1]
    data = json.loads(claims)
    assert (data["sub"], data["iss"], data["scope"]) == (ACCOUNT, "Google", "kafka")
    assert data["exp"] == token.end and 280 < token.end - data["iat"] <= 301
    assertion = issuer.forms[-1]["assertion"].split(".")[1]
    assert json.loads(decode_part(assertion))["scope"] == "https://www.googleapis.com/auth/cloud-platform"


@pytest.mark.usefixtures("account")
def test_a_given_principal_is_the_subject(issuer: Issuer) -> None:
    token = create_callback({"gcp": {"principal": "me@example.com"}}).fetch()
    assert json.loads(decode_part(token.value.split(".")[1]))["sub"] == "me@example.com"


def test_a_person_without_a_principal_is_told_to_write_it(
    issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer, "answer", lambda: (200, b'{"access_token": "token-1", "expires_in": 3600}'))
    person = {"type": "authorized_user", "client_id": "i", "client_secret": "canary-1", "refresh_token": "canary-2"}
    use_key(person, tmp_path, monkeypatch)
    monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", issuer.token_url)
    failure = find_failure({"gcp": None})
    assert failure.code == "K336" and "principal" in failure.help


def test_a_refusal_of_google_is_in_its_own_words(
    issuer: Issuer, account: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key({**account, "client_email": "other@example.com"}, tmp_path, monkeypatch)
    failure = find_failure({"gcp": {}})
    assert failure.code == "K336" and "invalid_grant: Invalid JWT Signature." in failure.message
    assert account["private_key"].splitlines()[1] not in failure.message


def test_an_unreachable_issuer_of_google_may_answer_later(
    account: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_key({**account, "token_uri": "http://127.0.0.1:9/token"}, tmp_path, monkeypatch)
    monkeypatch.setattr("time.sleep", lambda _: None)  # Google's library waits between attempts
    failure = find_failure({"gcp": {}})
    assert isinstance(failure, Unreachable) and "127.0.0.1" in failure.message


def test_missing_credentials_of_google_are_named() -> None:
    failure = find_failure({"gcp": {}})
    assert failure.code == "K336" and "GOOGLE_APPLICATION_CREDENTIALS" in failure.help


# -- both -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "extra"), [("aws_msk_iam", "aws"), ("gcp", "gcp")])
def test_a_missing_extra_is_named(name: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(CapabilityMissing, match=name) as failure:
        create_callback({name: {"region": "x"}})
    assert failure.value.help == f"pip install 'kplan[{extra}]'"


class Signer:
    """Gives tokens of 100 s, until it is told to fail."""

    def __init__(self, time: FakeTime) -> None:
        self.time = time
        self.calls = 0
        self.fails = False

    def issue(self) -> BrokerToken:
        self.calls += 1
        if self.fails:
            raise Denied("no credentials any more")
        return BrokerToken(f"token-{self.calls}", self.time.now + 100)


@pytest.fixture
def signer() -> Signer:
    return Signer(FakeTime())


def test_clients_that_begin_together_share_a_token(signer: Signer) -> None:
    callback = TokenCallback(signer.issue, signer.time.clock)
    assert callback("") == callback(None) == ("token-1", 100)
    signer.time.sleep(80)  # librdkafka asks again
    assert callback(None) == ("token-2", 180)


def test_a_valid_token_outlives_a_failed_renewal(signer: Signer) -> None:
    callback = TokenCallback(signer.issue, signer.time.clock)
    callback(None)
    signer.fails = True
    signer.time.sleep(80)
    assert callback(None) == ("token-1", 100)
    assert callback.failure is not None and callback.failure.message == "no credentials any more"
    signer.time.sleep(20)
    with pytest.raises(Denied):
        callback(None)
    signer.fails = False
    assert callback(None)[0] == f"token-{signer.calls}" and callback.failure is None
