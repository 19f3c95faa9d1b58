"""Why brokers let nobody in or do not answer: librdkafka's words for it, a look at a certificate, and the way out."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from pathlib import Path
from typing import Any, Final

from kplan.diagnostics import Denied, Invalid, KplanError, Unreachable, error
from kplan.secrets import Mask

ALL_DOWN_SECONDS: Final = 3.0  # every broker refused for this long: no use in waiting for the whole timeout
LOOK_SECONDS: Final = 5.0  # at a certificate
_SERVER = re.compile(r"\w+://(?P<server>[^/\s]+)/\S+: ")
_TAIL = re.compile(r" \(after \d+ms in state [^)]*\)$")
_INTERNAL = re.compile(r"error:[0-9A-F]{8}:SSL routines::")
_OWN_CERTIFICATE = re.compile(
    r"alert (?:bad certificate|certificate required|certificate expired|certificate unknown|unknown ca)"
)
_CONTINUES = re.compile(r"PLAINTEXT broker listener\?|SSL listener\?")

# What librdkafka or OpenSSL say, and what to do about it; the first that fits counts.
_WAYS_OUT: Final = (
    ("unsupported sasl mechanism", "set `sasl.mechanism` to one that the brokers support"),
    ("sasl authentication error|authentication failed|invalid credentials",
     "check `sasl.username`, `sasl.password` and `sasl.mechanism` of the environment"),
    ("certificate has expired", "renew the broker's certificate, or correct the clock of this machine"),
    ("mismatch", "name the brokers in `bootstrap.servers` and `advertised.listeners` as their certificates do"),
    ("certificate verify failed|self-signed|local issuer",
     "put the authority that signed the brokers' certificates into `ssl.ca.location`"),
    (r"alert certificate expired", "renew the certificate in `ssl.certificate.location`"),
    (_OWN_CERTIFICATE.pattern, "the brokers want a certificate of yours that they trust: check "
                               "`ssl.certificate.location` and `ssl.key.location`"),
    (r"plaintext broker listener\?", "this port speaks no TLS: check `security.protocol` and the port"),
    (r"ssl listener\?", "this port wants TLS: set `security.protocol: SSL` or `SASL_SSL`"),
    ("disconnected while requesting apiversion|during sasl",
     "the broker hung up at once: check `security.protocol` against what this port speaks"),
)  # fmt: skip
USUAL: Final = "check `bootstrap.servers`, `security.protocol`, and that the brokers are up"


def way_out(words: str) -> str:
    """What to do about it."""
    return next((help for sign, help in _WAYS_OUT if re.search(sign, words, re.IGNORECASE)), USUAL)


def plain(words: str) -> tuple[str, str]:
    """The server that librdkafka's words are about (empty where they name none), and what is the matter with it."""
    words = _TAIL.sub("", _INTERNAL.sub("", words))
    found = _SERVER.match(words)
    return (found["server"], words[found.end() :]) if found else ("", words)


def unusable(words: str, config: Mapping[str, str]) -> Invalid:
    """The error for settings of which no client can be made, for librdkafka refuses them."""
    lost = [f"{key}: there is no file {value}" for key, value in config.items()
            if key.endswith(".location") and not Path(value).exists()]  # fmt: skip
    help = "correct it under `kafka:` of the environment; the names are librdkafka's"
    return Invalid([error("K203", "a setting of the Kafka client is wrong", "; ".join(lost) or words, help=help)])


class Contact:
    """What the callbacks of a client hear of why no broker answers; `config` is that client's."""

    def __init__(self, config: Mapping[str, str], mask: Mask) -> None:
        self.refused: Denied | None = None
        self.trouble = ""
        self._config = config
        self._mask = mask
        self._all_down = 0.0  # when every broker was seen down for the first time

    def note(self, problem: Any) -> None:
        """Remembers what a KafkaError says; a refusal is not forgotten for a lesser trouble."""
        words = self._mask.mask(problem.str())
        if problem.name() == "_ALL_BROKERS_DOWN":
            self._all_down = self._all_down or time.monotonic()
        elif problem.name() in ("_AUTHENTICATION", "_SSL") or _OWN_CERTIFICATE.search(words):
            # a guess at the wrong protocol may be wrong itself, as when a broker is just stopping
            if _CONTINUES.search(words):
                self.trouble = words
            else:
                self.refused = self.refused or self._refusal(words)
        elif way_out(self.trouble) == USUAL:  # else it tells more than this
            self.trouble = words

    def _refusal(self, words: str) -> Denied:
        server, cause = plain(words)
        if "certificate verify failed" in cause:
            why = certificate_problem(server, self._config)
            cause = f"the broker's certificate is refused: {why}" if why else cause
        code = "K313" if "SASL" in cause else "K317"
        return Denied(f"{server}: {cause}" if server else cause, code=code, help=way_out(cause))

    def unreachable(self, words: str = "") -> KplanError:
        """Why there is no answer, as far as is known."""
        if self.refused is not None:
            return self.refused
        server, cause = plain(self.trouble or self._wrong_protocol() or words or "every broker is down")
        servers = server or self._config.get("bootstrap.servers", "")
        return Unreachable(f"{servers}: {cause}", help=way_out(cause))

    def _wrong_protocol(self) -> str:
        """What librdkafka does not say of a port that wants TLS: that it does."""
        server = self._config.get("bootstrap.servers", "").split(",")[0].strip()
        protocol = self._config.get("security.protocol", "plaintext").lower()
        return "" if "ssl" in protocol or not _speaks_tls(server) else f"security.protocol is {protocol}: SSL listener?"

    def first_answer(self, admin: Any, timeout: float, mapped: Callable[[BaseException], KplanError]) -> Any:
        """Who the cluster is. Raises Denied or Unreachable soon after the cause is heard."""
        admin.poll(0)
        answer = admin.describe_cluster(request_timeout=timeout)
        end = time.monotonic() + timeout + 5
        while not wait([answer], 0.05).done and time.monotonic() < end:
            admin.poll(0)
            down = self._all_down and time.monotonic() - self._all_down > min(ALL_DOWN_SECONDS, timeout)
            if self.refused or down:
                break
        if answer.done() and answer.exception() is None:
            self.refused, self.trouble, self._all_down = None, "", 0.0
            return answer.result()
        admin.poll(0)
        problem = mapped(answer.exception()) if answer.done() else None
        if isinstance(problem, Denied):
            raise problem
        raise self.unreachable(self._mask.mask(problem.message) if problem else "")


def certificate_problem(server: str, config: Mapping[str, str]) -> str:
    """Why the server's certificate is refused, which librdkafka does not tell; empty where that cannot be seen."""
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        context.check_hostname = config.get("ssl.endpoint.identification.algorithm", "https") != "none"
        _shake_hands(server, context)
    except ssl.SSLCertVerificationError as refusal:
        return refusal.verify_message.rstrip(".")
    except (OSError, ValueError):
        pass
    return ""


def _speaks_tls(server: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent, the answer alone matters
    try:
        _shake_hands(server, context)
    except (OSError, ValueError):
        return False
    return True


def _shake_hands(server: str, context: ssl.SSLContext) -> None:
    """Returns after a TLS handshake with the server. Raises OSError or ValueError."""
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    with socket.create_connection((host, int(port)), LOOK_SECONDS) as connection:
        context.wrap_socket(connection, server_hostname=host).close()
