"""Bearer tokens of an OIDC issuer, by client credentials: fetched when first needed, renewed before they expire.

Source: https://www.rfc-editor.org/rfc/rfc6749#section-4.4
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import requests
from requests.auth import HTTPBasicAuth

from kplan.diagnostics import Busy, Denied, ErrorClass, KplanError, Unreachable, codes
from kplan.model.masks import Mask
from kplan.servers.access import OidcLogin
from kplan.servers.http_failures import find_innermost_reason, find_tls_reason
from kplan.servers.http_limits import MIB, TooLarge, create_limited_session
from kplan.servers.http_logins import create_tls_context, make_proxies, proxy_error, read_proxy_password
from kplan.servers.waits import WAITS

MAX_ANSWER_BYTES: Final = MIB
RENEWAL_SHARE: Final = 0.2  # of a token's life before its end
MAX_RENEWAL_S: Final = 30.0
RETRY_INTERVAL_S: Final = 1.0  # between attempts to renew a token that is still valid
IN_BODY: Final = "client_secret_post"  # the name in OpenID Connect for the secret among the fields of the request

log = logging.getLogger("kplan.servers.tokens")


class TokenSource:
    """The present token of one login. Threads share it; one of them fetches and the others wait."""

    def __init__(
        self, login: OidcLogin, mask: Mask, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._login = login
        self._mask = mask
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = self._end = float("inf")
        create_tls_context(login.ca, "", "", "", login.section)
        self._session = create_limited_session(MAX_ANSWER_BYTES)
        self._login_pair = quote(login.client_id, safe=""), quote(login.client_secret, safe="")
        header = base64.b64encode(":".join(self._login_pair).encode()).decode()
        mask.add([login.client_secret, self._login_pair[1], header, read_proxy_password(login.proxy)])

    @property
    def endpoint(self) -> str:
        """Return the endpoint as it may be shown: without a login or a query."""
        parts = urlsplit(self._login.token_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def find(self) -> str:
        """Return a token that is valid as far as is known. Raises KplanError where the issuer gives none."""
        with self._lock:
            if self._token and self._clock() < self._renew_at:
                return self._token
            try:
                self._fetch()
            except KplanError as failure:
                is_valid = self._token and self._clock() < self._end
                if not is_valid or failure.error_class is not ErrorClass.RETRIABLE:
                    raise
                log.warning("%s; the present token is still valid", failure.message)
                self._renew_at = self._clock() + RETRY_INTERVAL_S
            return self._token

    def replace(self, refused: str) -> str:
        """Return another token than the one that a server refused; another thread may have fetched it already."""
        with self._lock:
            if self._token == refused:
                log.info("a token of %s was refused; fetching another one", self.endpoint)
                self._fetch()
            return self._token

    def refusal_error(self, failure: KplanError, node: str) -> KplanError:
        """Return the failure of a server that refuses a new token, with what to do."""
        failure.help = (
            f"the {node} refuses a new token of {self.endpoint}: compare `{self._login.section}.scope`, and the issuer "
            "and the audience of its tokens, with what it expects"
        )
        return failure

    def _fetch(self) -> None:
        started = self._clock()
        answer = self._request()
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            raise self._no_token_error("its answer has no `access_token`", f"check `{self._login.section}.token_url`")
        self._mask.add([token])
        try:
            life = float(seconds)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            life = float("inf")  # until a server refuses it
        self._token, self._end = token, started + life
        self._renew_at = self._end - min(life * RENEWAL_SHARE, MAX_RENEWAL_S)

    def _request(self) -> Mapping[str, Any]:
        """Return the answer of the token endpoint. Raises KplanError."""
        login = self._login
        form = {"grant_type": "client_credentials", **({"scope": login.scope} if login.scope else {})}
        form |= login.parameters
        auth: HTTPBasicAuth | Callable[[Any], Any] = HTTPBasicAuth(*self._login_pair)
        if login.client_authentication == IN_BODY:
            form |= {"client_id": login.client_id, "client_secret": login.client_secret}
            auth = _keep_headers
        status: object = "no answer"
        started = time.monotonic()
        try:
            with WAITS.add(f"fetching a token of {self.endpoint}", self._timeout):
                response = self._session.post(
                    login.token_url,
                    data=form,
                    auth=auth,
                    headers={"Accept": "application/json"},
                    timeout=(min(self._timeout, 10), self._timeout),
                    verify=login.ca or True,
                    proxies=dict(make_proxies(login.proxy)),
                    allow_redirects=False,
                )
                text = response.content.decode("utf-8", "replace")
            status = response.status_code
        except requests.RequestException as failure:
            raise self._connection_error(failure) from None
        finally:
            log.debug("POST %s -> %s %.3f s", self.endpoint, status, time.monotonic() - started)
        return self._parse(response.status_code, text)

    def _parse(self, status: int, text: str) -> Mapping[str, Any]:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        section = self._login.section
        if status < 300:
            if isinstance(answer, dict):
                return answer
            raise self._no_token_error("its answer is not a JSON object", f"check `{section}.token_url`")
        words = _describe_refusal(answer)
        reason = f"it answers {status}{f': {self._mask.mask(words)}' if words else ''}"
        if status == 429 or status >= 500:
            raise Busy(f"token endpoint {self.endpoint}: {reason}", help="see the issuer's log, or try again")
        if status in (400, 401, 403):
            help = f"check `{section}.client_id`, `{section}.client_secret` and `{section}.scope`"
            raise self._no_token_error(reason, help)
        raise self._no_token_error(reason, f"check `{section}.token_url`")

    def _no_token_error(self, reason: str, help: str) -> Denied:
        return Denied(f"token endpoint {self.endpoint} issues no token: {reason}", code=codes.K336, help=help)

    def _connection_error(self, failure: requests.RequestException) -> KplanError:
        """Return why the endpoint could not be asked; asking twice is harmless."""
        section = self._login.section
        if isinstance(failure, requests.exceptions.ProxyError):
            return proxy_error(self.endpoint, self._mask.mask(find_innermost_reason(failure)), section)
        if isinstance(failure, requests.exceptions.SSLError):
            reason = self._mask.mask(find_tls_reason(failure))
            help = f"put the authority that signed the endpoint's certificate into `{section}.ca`"
            return Denied(f"token endpoint {self.endpoint}: {reason}", code=codes.K317, help=help)
        if isinstance(failure, TooLarge):
            return self._no_token_error(str(failure), f"check `{section}.token_url`")
        return Unreachable(
            f"token endpoint {self.endpoint}: {self._mask.mask(find_innermost_reason(failure))}",
            help=f"check `{section}.token_url`, and that the issuer is up and reachable from here",
        )

    def close(self) -> None:
        self._session.close()


def _keep_headers(request: Any) -> Any:
    """Return the request as it is: without an `auth`, requests would take a login from a netrc file."""
    return request


def _describe_refusal(answer: Any) -> str:
    """Return `error` and `error_description` of an issuer's answer: RFC 6749, 5.2."""
    if not isinstance(answer, dict):
        return ""
    return ": ".join(str(answer[key])[:300] for key in ("error", "error_description") if answer.get(key))
