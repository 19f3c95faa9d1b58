"""Limits of every HTTP answer: one deadline for the whole answer, and a maximum size.

The timeout of requests applies from byte to byte, so a server that sends a byte now and then keeps a client forever;
and an answer that does not end fills the memory.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ReadTimeoutError

from kplan.servers.quick_http import LimitedResponse

MIB = 1024 * 1024


class TooLarge(requests.RequestException):
    """The answer has more bytes than a client takes."""


class _Connection(HTTPConnection):
    response_class = LimitedResponse


class _SecureConnection(HTTPSConnection):
    response_class = LimitedResponse


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class LimitedAdapter(HTTPAdapter):
    """Ends each answer at the request's read timeout, and refuses one that is larger than `max_bytes`.

    `context` holds a client's certificate, whose key may have a password: `Session.cert` takes none.
    """

    def __init__(self, max_bytes: int, context: ssl.SSLContext | None = None, parallel: int = 10) -> None:
        self._most = max_bytes
        self._context = context
        super().__init__(pool_maxsize=parallel)

    def init_poolmanager(self, *sizes: Any, **options: Any) -> None:
        super().init_poolmanager(*sizes, **options, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        response = super().send(*arguments, **options)
        _limit_size(response, self._most)
        return response


def _limit_size(response: requests.Response, max_bytes: int) -> None:
    """Make the response refuse more than `max_bytes`, counted after decompression; `content` reads through this."""
    iter_content = response.iter_content

    def iter_limited(chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        size = 0
        for part in iter_content(chunk_size, decode_unicode):
            size += len(part)
            if size > max_bytes:
                response.close()
                raise TooLarge(f"its answer is larger than {max_bytes // MIB} MiB")
            yield part

    response.iter_content = iter_limited  # type: ignore[method-assign]


def has_timed_out(failure: requests.RequestException) -> bool:
    """Return whether the answer, or the end of it, did not arrive in time."""
    inner = failure.args[0] if failure.args else None
    return isinstance(failure, requests.ReadTimeout) or isinstance(inner, ReadTimeoutError)


def create_limited_session(
    max_bytes: int, context: ssl.SSLContext | None = None, parallel: int = 10
) -> requests.Session:
    """Return a session that accepts at most `max_bytes` of an answer, and waits no longer than the read timeout."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, LimitedAdapter(max_bytes, context, parallel))
    return session
