"""What failures of requests and urllib3 mean: whether a request was sent, and the innermost reason."""

from __future__ import annotations

import re

import requests
from urllib3.exceptions import NewConnectionError


def was_not_sent(failure: requests.RequestException) -> bool:
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError | ValueError):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    return isinstance(reason, NewConnectionError)


def find_innermost_reason(failure: requests.RequestException) -> str:
    """Return the innermost reason: `Connection refused`, `Read timed out. (read timeout=30)`."""
    text = str((getattr(failure.args[0], "reason", None) if failure.args else None) or failure)
    errno = re.search(r"(?:\(\d+, '|\[Errno -?\d+\] )([^'\")]+)", text)
    return errno[1] if errno else text.rpartition(": ")[2].strip("'\"") or type(failure).__name__


def find_tls_reason(failure: requests.exceptions.SSLError) -> str:
    """Return OpenSSL's reason, without its numbers."""
    return re.sub(r"^\w+\] | \(_ssl\.c:\d+\)$", "", find_innermost_reason(failure))
