"""Sessions of requests with a REST API: logins, TLS, proxies, and what their failures mean."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from kplan.diagnostics import Denied, ErrorClass, KplanError, Timeout, Unreachable, codes
from kplan.model.masks import Mask
from kplan.servers.access import Access
from kplan.servers.connection_errors import misdirected_error
from kplan.servers.http_failures import find_innermost_reason, find_tls_reason, was_not_sent
from kplan.servers.http_limits import TooLarge, create_limited_session, has_timed_out
from kplan.servers.http_logins import make_proxies, proxy_error
from kplan.servers.peer import Peer
from kplan.servers.ports import PortProtocol, detect_protocol
from kplan.servers.quick_http import MAX_ANSWER_BYTES, Answer

TLS_ALERT = "x15\\x03"  # in the representation of a TLS port's answer to plain HTTP


class BearerAuth(AuthBase):
    """Sends a bearer token. A header of the session would give way to a netrc file, and requests removes this one
    where a redirect leads to another host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class RestSession:
    """Sends requests as `access` says, with this login: a user and a password. Every failure is a KplanError."""

    def __init__(
        self,
        peer: Peer,
        mask: Mask,
        access: Access,
        login: tuple[str, str],
        context: ssl.SSLContext | None,
        parallel: int,
    ) -> None:
        self._peer = peer
        self._mask = mask
        self._verify = access.ca or True
        self._proxies = make_proxies(access.proxy)
        self._session = create_limited_session(MAX_ANSWER_BYTES, context, parallel)
        self._session.headers["Accept"] = "application/json"
        user, secret = login
        if access.oidc is not None:
            self._session.headers.update(access.oidc.headers)
        elif access.token:
            self._session.auth = BearerAuth(access.token)
        elif user:
            self._session.auth = HTTPBasicAuth(user.encode(), secret.encode())

    def ask(self, method: str, url: str, path: str, body: Any, timeout: float, token: str, met: bool) -> Answer:
        """Return the answer; with `token` the request has it for its login. `met`: the server has answered before."""
        with _ErrorMapper(self._peer, url, self._mask, timeout, met):
            response = self._session.request(
                method,
                url + path,
                json=body,
                timeout=(min(timeout, 10), timeout),
                verify=self._verify,
                proxies=dict(self._proxies),
                auth=BearerAuth(token) if token else None,
                allow_redirects=False,
            )
            text = response.content.decode("utf-8", "replace")
        return Answer(response.status_code, text, response.headers.get("Date", ""))

    def close(self) -> None:
        self._session.close()


class AnswerTooLarge(KplanError):
    """The answer is larger than kplan takes; the request may have taken effect."""

    entry = codes.K333
    applied = None


class _ErrorMapper:
    """Turns exceptions of requests or urllib3 into Unreachable (it was not sent) or Timeout (it may have been)."""

    def __init__(self, peer: Peer, url: str, mask: Mask, timeout: float, met: bool) -> None:
        self._peer = peer
        self._url = url
        self._mask = mask
        self._timeout = timeout
        self._met = met

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if not isinstance(failure, requests.RequestException):
            return
        peer, lost = self._peer, f"see the log of the {self._peer.name} {self._peer.node}"
        reason = self._mask.mask(find_innermost_reason(failure))
        if isinstance(failure, requests.exceptions.ProxyError):
            raise proxy_error(self._url, reason, peer.section) from None
        if isinstance(failure, requests.exceptions.SSLError):
            reason = self._mask.mask(find_tls_reason(failure))
            raise Denied(
                f"no TLS connection to {self._url}: {reason}", code=codes.K317, help=_find_tls_help(reason, self._peer)
            ) from None
        if isinstance(failure, TooLarge):
            raise AnswerTooLarge(f"{self._url}: {failure}", help=f"check `{peer.section}.url`") from None
        if not self._met and _is_not_http(failure, self._url):
            raise misdirected_error(
                f"no {peer.name} at {self._url}: the port does not speak HTTP",
                f"check `{peer.section}.url`: {peer.port}",
            ) from None
        if TLS_ALERT in str(failure):
            refused = Unreachable(f"{self._url} does not speak HTTP: it answers as TLS does",
                                  help=f"write https:// in `{peer.section}.url`")  # fmt: skip
            refused.error_class = ErrorClass.FATAL
            raise refused from None
        if was_not_sent(failure):
            raise Unreachable(f"{peer.name} does not answer at {self._url}: {reason}",
                              help=f"check `{peer.section}.url`, and that the {peer.node} runs") from None  # fmt: skip
        timed_out = has_timed_out(failure)
        reason = f"not all of it arrived within {self._timeout:g} s" if timed_out else reason
        raise Timeout(
            f"the answer of {self._url} was lost: {reason}", help=f"{lost}; {_LATE}" if timed_out else lost
        ) from None


def _is_not_http(failure: requests.RequestException, url: str) -> bool:
    """Return whether the port is not HTTP: it answers differently, or closes the connection as brokers do."""
    if TLS_ALERT in str(failure):
        return False
    if "BadStatusLine" in str(failure):
        return True
    parts = urlsplit(url)
    is_aborted = "RemoteDisconnected" in str(failure) or "reset by peer" in str(failure)
    return is_aborted and detect_protocol(parts.netloc, parts.scheme == "https") in (
        PortProtocol.BROKER,
        PortProtocol.CONTROLLER,
    )


def _find_tls_help(reason: str, peer: Peer) -> str:
    """Return what to do about a failed handshake, by OpenSSL's message."""
    setting, node = peer.section, peer.node
    plain = f"this port speaks no TLS: write http:// in `{setting}.url`, or another port"
    remedies = {
        "mismatch": f"name the {node} in `{setting}.url` as its certificate does",
        "has expired": f"renew the {node}'s certificate, or correct the clock of this machine",
        "wrong version number": plain,
        "record layer failure": plain,
        "alert": f"the {node} wants a certificate that it trusts: check `{setting}.certificate` and `{setting}.key`",
    }
    default = f"put the authority that signed the {node}'s certificate into `{setting}.ca`"
    return next((help for sign, help in remedies.items() if sign in reason), default)


_LATE = "if it is only slow, raise `timeouts: {request: …}` of the environment"
