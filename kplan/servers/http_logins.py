"""What logins over HTTP have in common: certificates, headers, logins within URLs, and proxies."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from kplan.diagnostics import Invalid, Unreachable, codes, error

DIRECT: Final = "direct"  # in place of a proxy's URL: none, whatever the process's variables say


def create_tls_context(ca: str, certificate: str, key: str, password: str, section: str) -> ssl.SSLContext | None:
    """Return kplan's client certificate, None without one. Raises Invalid where a file cannot be used."""
    file, setting = ca, f"{section}.ca"
    try:
        if ca:
            is_folder = Path(ca).is_dir()
            ssl.create_default_context(cafile=None if is_folder else ca, capath=ca if is_folder else None)
        if not certificate:
            return None
        file, setting = certificate, f"{section}.certificate"
        context = ssl.create_default_context()
        context.load_cert_chain(certificate, key or None, lambda: password)
        return context
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        if isinstance(failure, ssl.SSLError):
            reason = "it holds no certificate" if setting == f"{section}.ca" else "key and password do not fit it"
        raise Invalid([error(codes.K203, "a file for TLS cannot be used", f"{setting} {file}: {reason}",
                             help="the files are PEM, and their paths begin at kplan.yaml")]) from failure  # fmt: skip


def split_login(urls: Sequence[str]) -> tuple[list[str], tuple[str, str]]:
    """Return the URLs as they may be shown, and the first name and password in them."""
    login = ("", "")
    plain = []
    for url in urls:
        parts = urlsplit(url)
        if parts.username and not login[0]:
            login = unquote(parts.username), unquote(parts.password or "")
        host = parts.netloc.rpartition("@")[2]
        plain.append(urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")))
    return plain, login


def make_proxies(proxy: str) -> Mapping[str, str]:
    """Return the proxies of a session; empty where the process's variables decide."""
    if not proxy:
        return {}
    address = "" if proxy == DIRECT else proxy
    return {"http": address, "https": address}


def read_proxy_password(proxy: str) -> str:
    return unquote(urlsplit(proxy).password or "")


def proxy_error(url: str, reason: str, section: str) -> Unreachable:
    """Return the error for a proxy that does not answer, or does not let kplan pass."""
    help = f"check `{section}.proxy`, or HTTPS_PROXY, HTTP_PROXY and NO_PROXY; `proxy: {DIRECT}` uses none"
    return Unreachable(f"no way to {url} through the proxy: {reason}", help=help)
