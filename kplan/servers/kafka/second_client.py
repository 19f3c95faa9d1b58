"""kafka-python's client, for the requests that librdkafka (2.16) does not have: an extra of kplan, `kplan[admin]`."""

from __future__ import annotations

import importlib.util
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kplan.diagnostics import Denied, KplanError, Rejected, Timeout, Unsupported, codes

if TYPE_CHECKING:
    from kplan.servers.kafka.client import Client

T = TypeVar("T")

_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_SECURITY: Final = ("ssl.", "sasl.", "security.", "enable.ssl.", "enable.sasl.", "https.")
_MAPPED: Final = frozenset({
    "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "ssl.ca.location",
    "ssl.certificate.location", "ssl.key.location", "ssl.key.password", "ssl.crl.location",
    "ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification",
})  # fmt: skip


def is_installed() -> bool:
    """Return whether the extra is installed."""
    try:
        return importlib.util.find_spec("kafka") is not None
    except ValueError:
        return False


# -- librdkafka's settings in kafka-python's names --------------------------------------------------------------------
def convert_settings(config: Mapping[str, str]) -> dict[str, Any]:
    """Return what kafka-python needs to reach the same brokers as the same user. Raises Unsupported.

    Only the settings of trust and identity must have a counterpart; how librdkafka buffers or logs need not.
    """
    unsupported = sorted(key for key in config if key.startswith(_SECURITY) and key not in _MAPPED)
    if unsupported:
        raise unsupported_setting_error(unsupported[0])
    servers = config.get("bootstrap.servers") or config.get("metadata.broker.list", "")
    protocol = config.get("security.protocol", "plaintext").upper()
    converted: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in servers.split(",") if server.strip()],
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL"):
        mechanism = (config.get("sasl.mechanism") or config.get("sasl.mechanisms") or "GSSAPI").upper()
        if mechanism not in _MECHANISMS:
            raise unsupported_setting_error(f"sasl.mechanism {mechanism}")
        converted |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": config.get("sasl.username", ""),
            "sasl_plain_password": config.get("sasl.password", ""),
        }
    return converted | ({"ssl_context": create_tls_context(config)} if protocol.endswith("SSL") else {})


def unsupported_setting_error(name: str) -> Unsupported:
    missing = Unsupported(
        f"the client for replicas and quotas has no counterpart of {name}",
        code=codes.K328,
        help="name brokers that it can log in to (PLAIN or SCRAM, certificates as PEM files) in an environment of its "
        "own, or run kafka-reassign-partitions.sh",
    )
    missing.exit_code = Rejected.exit_code
    return missing


def create_tls_context(config: Mapping[str, str]) -> ssl.SSLContext:
    """Return trust and certificate as librdkafka has them: names are checked unless that is turned off."""
    location = config.get("ssl.ca.location", "")
    authority = location if location != "probe" else ""
    folder = authority if authority and Path(authority).is_dir() else None
    try:
        context = ssl.create_default_context(cafile=None if folder else authority or None, capath=folder)
        if config.get("enable.ssl.certificate.verification", "true").lower() == "false":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        elif config.get("ssl.endpoint.identification.algorithm", "https") == "none":
            context.check_hostname = False
        if revoked := config.get("ssl.crl.location"):
            context.load_verify_locations(revoked)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        if certificate := config.get("ssl.certificate.location"):
            context.load_cert_chain(certificate, config.get("ssl.key.location"), config.get("ssl.key.password"))
    except OSError as e:
        raise Denied(f"a certificate of the environment cannot be used: {e}", code=codes.K317) from e
    return context


# -- the client -------------------------------------------------------------------------------------------------------
class SecondClient:
    """kafka-python's admin client, created on first use, with its failures as errors of kplan."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._created: Any = None

    def _connect(self) -> Any:
        if self._created is None:
            from kafka import KafkaAdminClient

            milliseconds = int(self.client.timeout * 1000)
            properties = convert_settings(self.client.config) | {"client_id": self.client.name}
            properties |= {"request_timeout_ms": milliseconds, "bootstrap_timeout_ms": milliseconds}
            self._created = KafkaAdminClient(**properties)
        return self._created

    def close(self) -> None:
        if self._created is not None:
            self._created.close()
            self._created = None

    def request(self, send: Callable[[Any], T]) -> T:
        """Return the answer. Raises its failure as an error of kplan."""
        try:
            return send(self._connect())
        except KplanError:
            raise
        except Exception as exception:  # the library also raises some of Python's own
            raise self._map_error(exception) from exception

    def _map_error(self, exception: Exception) -> KplanError:
        from kafka import errors

        message = str(exception).partition(" failed with response ")[0]
        if isinstance(exception, errors.BrokerResponseError) and exception.errno >= 0:
            return self.client.error_of_code(exception.errno, message)
        return Timeout(f"no answer: {message or type(exception).__name__}")
