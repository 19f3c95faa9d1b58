"""A broker and a Connect worker that let nobody in without a certificate or a password.

The certificates are made here, for 127.0.0.1 alone, so `localhost` is a wrong host name. One authority signs the
servers and one the clients; a third is trusted by nobody.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.services.connect import ConnectWorker
from tests.services.kafka import KafkaCluster
from tests.services.process import free_port

LISTENERS = {"SCRAM": "SASL_SSL", "MUTUAL": "SSL", "EXPIRED": "SASL_SSL", "NOWHERE": "PLAINTEXT"}
ADVERTISED = {"NOWHERE": "broker.invalid"}  # a name that never resolves (RFC 2606)
BASIC_AUTH = "org.apache.kafka.connect.rest.basic.auth.extension"


class Authority:
    """A certificate authority that signs what it is asked to; its own certificate is in `file`."""

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = self._builder(self._subject, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def sign(self, name: str, *, days: int = 2, password: str = "") -> tuple[Path, Path]:
        """The files of a certificate for 127.0.0.1 with this common name, and of its key (PKCS#8).

        With negative `days` it has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        made = self._builder(subject, key.public_key(), days)
        made = made.add_extension(host, critical=False).add_extension(usage, critical=False)
        certificate, secret = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        locked: Any = (
            serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        )
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
        return certificate, secret

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int = 2) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        begin = now - timedelta(days=3)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject).public_key(key)
        made = made.serial_number(x509.random_serial_number())
        return made.not_valid_before(begin).not_valid_after(now + timedelta(days=days))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class SecureKafka(KafkaCluster):
    """Brokers with an authorizer, and listeners for SCRAM over TLS, for mutual TLS, with an old certificate, and
    with an advertised name that resolves nowhere.

    The plain listener (`bootstrap`) is the harness's own: who comes in by it is a super user. `properties` go over the
    brokers' others.
    """

    def __init__(self, certificates: Path, properties: Mapping[str, str] | None = None, brokers: int = 1) -> None:
        self.servers, self.clients = Authority("servers", certificates), Authority("clients", certificates)
        self.strangers = Authority("strangers", certificates)
        super().__init__(brokers, properties={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "group.min.session.timeout.ms": "1000",
            **(properties or {}),
        })  # fmt: skip
        self.ports = {node: {name: free_port() for name in LISTENERS} for node in self.brokers}
        protocols = "".join(f",{name}:{protocol}" for name, protocol in LISTENERS.items())
        secured = {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            **self._identity("scram", *self.servers.sign("broker")),
            **self._identity("mutual", *self.servers.sign("broker-mutual")),
            **self._identity("expired", *self.servers.sign("broker-expired", days=-1)),
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.mutual.ssl.truststore.type": "PEM",
            "listener.name.mutual.ssl.truststore.location": str(self.clients.file),
        }
        for node, broker in self.brokers.items():
            ports = self.ports[node].items()
            places = "".join(f",{name}://127.0.0.1:{port}" for name, port in ports)
            shown = "".join(f",{name}://{ADVERTISED.get(name, '127.0.0.1')}:{port}" for name, port in ports)
            own = broker.properties
            broker.properties = {
                **own,
                "listeners": own["listeners"] + places,
                "advertised.listeners": own["advertised.listeners"] + shown,
                "listener.security.protocol.map": own["listener.security.protocol.map"] + protocols,
                **secured,
            }

    def _identity(self, listener: str, certificate: Path, key: Path) -> dict[str, str]:
        both = certificate.with_suffix(".both.pem")
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return {
            f"listener.name.{listener}.ssl.keystore.type": "PEM",
            f"listener.name.{listener}.ssl.keystore.location": str(both),
            f"listener.name.{listener}.scram-sha-512.sasl.jaas.config": scram,
        }

    def at(self, listener: str, host: str = "127.0.0.1") -> str:
        return ",".join(f"{host}:{ports[listener]}" for ports in self.ports.values())

    def add_user(self, name: str, password: str) -> None:
        """The user may log in by SCRAM-SHA-512."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        way = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        asked = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(name, way, password.encode())])
        for future in asked.values():
            future.result(10)


class OAuthKafka(KafkaCluster):
    """A broker with a listener for OAUTHBEARER over TLS (`TOKENS`) and one without TLS (`PLAIN_TOKENS`).

    It verifies tokens by the keys at `keys_url`, which it reads over http; the token must be for `audience`, of
    `issuer`. `properties` go over the broker's others.
    """

    def __init__(
        self,
        certificates: Path,
        keys_url: str,
        audience: str,
        issuer: str,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.servers = Authority("oauth-servers", certificates)
        flags = (f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys_url}",)
        super().__init__(properties=properties, flags=flags)
        self.ports = {"TOKENS": free_port(), "PLAIN_TOKENS": free_port()}
        certificate, key = self.servers.sign("oauth-broker")
        both = certificate.with_suffix(".both.pem")
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        package = "org.apache.kafka.common.security.oauthbearer"
        places = "".join(f",{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        own = self.brokers[1].properties
        self.brokers[1].properties = {
            **own,
            "listeners": own["listeners"] + places,
            "advertised.listeners": own["advertised.listeners"] + places,
            "listener.security.protocol.map": own["listener.security.protocol.map"]
            + ",TOKENS:SASL_SSL,PLAIN_TOKENS:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "OAUTHBEARER",
            "sasl.oauthbearer.jwks.endpoint.url": keys_url,
            "sasl.oauthbearer.expected.audience": audience,
            "sasl.oauthbearer.expected.issuer": issuer,
            "listener.name.tokens.ssl.keystore.type": "PEM",
            "listener.name.tokens.ssl.keystore.location": str(both),
            **{
                f"listener.name.{name.lower()}.oauthbearer.sasl.{key}": value
                for name in self.ports
                for key, value in (
                    ("server.callback.handler.class", f"{package}.OAuthBearerValidatorCallbackHandler"),
                    ("jaas.config", f"{package}.OAuthBearerLoginModule required;"),
                )
            },
        }

    def at(self, listener: str) -> str:
        return f"127.0.0.1:{self.ports[listener]}"


def _java_stores(certificate: Path, key: Path, trusted: Path, folder: Path) -> dict[str, str]:
    """Connect's settings for these; its web server reads no PEM."""
    word = "changeit"
    own = x509.load_pem_x509_certificate(certificate.read_bytes())
    secret: Any = serialization.load_pem_private_key(key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(word.encode())
    store = pkcs12.serialize_key_and_certificates(b"worker", secret, own, None, locked)
    trust = pkcs12.PKCS12Certificate(x509.load_pem_x509_certificate(trusted.read_bytes()), b"clients")
    (folder / "worker.p12").write_bytes(store)
    (folder / "trust.p12").write_bytes(pkcs12.serialize_java_truststore([trust], locked))
    names = {"keystore": "worker.p12", "truststore": "trust.p12"}
    return {
        f"listeners.https.ssl.{store}.{part}": value
        for store, file in names.items()
        for part, value in (("type", "PKCS12"), ("location", str(folder / file)), ("password", word))
    }


class SecureConnect(ConnectWorker):
    """A worker that asks for a client's certificate and a password; by its plain listener for the password alone."""

    def __init__(self, kafka: SecureKafka, plugins: Path, user: str, password: str) -> None:
        self._login = user, password
        self._kafka = kafka
        self._client = tuple(map(str, kafka.clients.sign("harness")))
        super().__init__(kafka.bootstrap, plugins)
        certificate, key = kafka.servers.sign("worker")
        stores = _java_stores(certificate, key, kafka.clients.file, self.folder)
        (self.folder / "users.properties").write_text(f"{user}={password}\n")
        (self.folder / "jaas.conf").write_text(
            f"KafkaConnect {{ {BASIC_AUTH}.PropertyFileLoginModule required"
            f' file="{self.folder / "users.properties"}"; }};\n'
        )
        self.plain_url, port = self.url, free_port()
        self.url = f"https://127.0.0.1:{port}"
        self._properties |= {
            "listeners": f"{self.url},{self.plain_url}",
            "rest.advertised.listener": "http",
            "rest.extension.classes": f"{BASIC_AUTH}.BasicAuthSecurityRestExtension",
            "listeners.https.ssl.client.auth": "required",
            **stores,
        }
        self._environment |= {"JAVA_TOOL_OPTIONS": f"-Djava.security.auth.login.config={self.folder / 'jaas.conf'}"}

    def request(self, method: str, path: str, body: object = None, timeout: float = 100) -> Any:
        """The JSON answer; requests.HTTPError, which is an OSError, for 4xx and 5xx."""
        import requests

        options: Any = {"auth": self._login, "cert": self._client, "verify": str(self._kafka.servers.file)}
        answer = requests.request(method, self.url + path, json=body, timeout=timeout, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None


__all__ = ["Authority", "OAuthKafka", "SecureConnect", "SecureKafka"]
