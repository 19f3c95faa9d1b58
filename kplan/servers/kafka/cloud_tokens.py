"""Logins to the Kafka of a cloud: tokens of Amazon's or Google's own libraries, given to librdkafka's `oauth_cb`.

Sources: https://github.com/aws/aws-msk-iam-sasl-signer-python; https://github.com/googleapis/managedkafka. Both
libraries are extras of kplan and large, so they are imported when such a login first needs a token.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, Final

from kplan.diagnostics import CapabilityMissing, Denied, KplanError, Unreachable, codes
from kplan.values import dataclass

REUSE_S: Final = 60.0  # the clients of one run begin within seconds: they share a token
SESSION_NAME: Final = "kplan"  # of an assumed role, which CloudTrail shows
GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
GOOGLE_TIMEOUT_S: Final = 20.0  # of one of the library's attempts
# The names of exceptions of botocore and google-auth for endpoints that gave no answer.
_NO_ANSWER: Final = (
    "TransportError",
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ConnectionClosedError",
)

log = logging.getLogger("kplan.servers.kafka")


@dataclass(frozen=True, slots=True)
class BrokerToken:
    """A token for brokers, and when it expires, in seconds since 1970."""

    value: str
    end: float


class TokenCallback:
    """Gives tokens to librdkafka, which asks for one in a thread of its own, and again at four fifths of its life."""

    def __init__(
        self, issue: Callable[[], BrokerToken], clock: Callable[[], float] = time.time, remedy: str = ""
    ) -> None:
        """`remedy` is what to do where the brokers refuse a token."""
        self.remedy = remedy
        self._issue = issue
        self._clock = clock
        self._lock = threading.Lock()
        self._token: BrokerToken | None = None
        self._reuse_end = 0.0
        self.failure: KplanError | None = None  # why the last renewal failed

    def fetch(self) -> BrokerToken:
        """Return a token that is seconds old at most. Raises KplanError."""
        with self._lock:
            if self._token is None or self._clock() >= self._reuse_end:
                self._token = self._issue()
                now = self._clock()
                self._reuse_end = now + min(REUSE_S, (self._token.end - now) / 2)
                self.failure = None
            return self._token

    def __call__(self, config: str | None) -> tuple[str, float]:
        """Return a token and its end. One that is still valid is better than an exception, which ends the client."""
        try:
            token = self.fetch()
        except KplanError as failure:
            self.failure = failure
            if self._token is None or self._clock() >= self._token.end:
                raise
            log.warning("%s; the present token is still valid", failure.message)
            token = self._token
        return token.value, token.end


def create_callback(login: Mapping[str, Any]) -> TokenCallback:
    """Return the `oauth_cb` of the environment's `login:`, with its first token. Raises KplanError.

    librdkafka itself would wait for ten seconds, and not say why there is no token.
    """
    name, options = next(iter(login.items()))
    cloud = _CLOUDS[name]
    if not _is_installed(cloud.module):
        raise CapabilityMissing(
            f"`login: {{{name}: …}}` needs the Python package {cloud.module}",
            help=f"pip install 'kplan[{cloud.extra}]'",
        )
    callback = TokenCallback(cloud.create_signer(options or {}), remedy=cloud.remedy)
    callback.fetch()
    return callback


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


# -- Amazon MSK -------------------------------------------------------------------------------------------------------
def create_aws_signer(options: Mapping[str, Any]) -> Callable[[], BrokerToken]:
    """Return what signs a token by a role, a profile, or what Amazon's library finds by itself."""
    region, role, profile = (str(options.get(key) or "") for key in ("region", "role", "profile"))

    def issue() -> BrokerToken:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider as Signer

        try:
            if role:
                value, end_ms = Signer.generate_auth_token_from_role_arn(region, role, SESSION_NAME)
            elif profile:
                value, end_ms = Signer.generate_auth_token_from_profile(region, profile)
            else:
                value, end_ms = Signer.generate_auth_token(region)
        except Exception as exception:  # botocore has a hundred kinds
            # The signer looks into credentials that were not found.
            is_missing = isinstance(exception, AttributeError) and "NoneType" in str(exception)
            reason = "it finds no credentials here" if is_missing else str(exception)
            help = (
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or write `role` or `profile` into "
                "`login.aws_msk_iam`"
            )
            raise _no_token_error("Amazon's library", reason, help, exception) from exception
        return BrokerToken(value, end_ms / 1000)

    return issue


# -- Google Managed Service for Apache Kafka --------------------------------------------------------------------------
def create_google_signer(options: Mapping[str, Any]) -> Callable[[], BrokerToken]:
    """Return what gets a token by the application default credentials."""
    principal = str(options.get("principal") or "")
    credentials: list[Any] = []  # found once; they renew themselves

    def issue() -> BrokerToken:
        import google.auth
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            if not credentials:
                credentials.append(google.auth.default(scopes=[GOOGLE_SCOPE])[0])
            credentials[0].refresh(functools.partial(Request(), timeout=GOOGLE_TIMEOUT_S))
        except (GoogleAuthError, ValueError, OSError) as exception:
            help = (
                "set GOOGLE_APPLICATION_CREDENTIALS to the key of a service account, or run "
                "`gcloud auth application-default login`"
            )
            raise _no_token_error("Google's library", _describe_google(exception), help, exception) from exception
        return _wrap_google_token(credentials[0], principal)

    return issue


def _describe_google(exception: Exception) -> str:
    """Return the first part of the message; others are whole answers."""
    return str(exception.args[0] if exception.args else exception)


def _wrap_google_token(credentials: Any, principal: str) -> BrokerToken:
    """Return Google's access token in the form that its brokers want: a JWT with the token as its signature."""
    account = principal or getattr(credentials, "service_account_email", "")
    if not account:
        raise Denied(
            "Google's credentials name no account", code=codes.K336, help="write `login: {gcp: {principal: EMAIL}}`"
        )
    end = credentials.expiry.replace(tzinfo=UTC).timestamp()  # it has no zone, and is of UTC
    claims = {"exp": end, "iat": time.time(), "iss": "Google", "scope": "kafka", "sub": account}
    parts = (json.dumps({"typ": "JWT", "alg": "GOOG_OAUTH2_TOKEN"}), json.dumps(claims), credentials.token)
    return BrokerToken(".".join(_encode(part) for part in parts), end)


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _no_token_error(source: str, reason: str, help: str, exception: Exception) -> KplanError:
    message = f"{source} gives no token for the brokers: {reason}"
    if type(exception).__name__ in _NO_ANSWER:
        return Unreachable(message, help=help)
    return Denied(message, code=codes.K336, help=help)


@dataclass(frozen=True, slots=True)
class Cloud:
    """What makes its tokens, the extra of kplan and the module for that, and what to do about a refused token."""

    create_signer: Callable[[Mapping[str, Any]], Callable[[], BrokerToken]]
    extra: str
    module: str
    remedy: str


_CLOUDS: Final[Mapping[str, Cloud]] = {
    "aws_msk_iam": Cloud(
        create_aws_signer,
        "aws",
        "aws_msk_iam_sasl_signer",
        "the brokers refuse the token: allow its user or role `kafka-cluster:Connect` on this cluster, and check "
        "`login.aws_msk_iam.region` and the port (9098, or 9198 from outside)",
    ),
    "gcp": Cloud(
        create_google_signer,
        "gcp",
        "google.auth",
        "the brokers refuse the token: give its account `roles/managedkafka.client` in the cluster's project",
    ),
}
