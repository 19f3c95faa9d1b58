"""SASL mechanisms that cannot work with the other settings, or with the librdkafka that is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kplan.values import dataclass

KEYS: Final = ("sasl.mechanism", "sasl.mechanisms")
METHOD: Final = "sasl.oauthbearer.method"
UNSECURED: Final = "enable.sasl.oauthbearer.unsecure.jwt"
PROVIDERS: Final = (
    f"write `{METHOD}: oidc` with `sasl.oauthbearer.token.endpoint.url`, `sasl.oauthbearer.client.id` and "
    "`sasl.oauthbearer.client.secret`; or `login:` next to `kafka:`"
)
CALLBACK: Final = "oauth_cb"  # the setting of a program, which gives the tokens itself
KERBEROS_RECIPE: Final = (
    "install librdkafka with libsasl2 (Debian: `apt install librdkafka-dev libsasl2-modules-gssapi-mit`), then "
    "`pip install --no-binary confluent-kafka confluent-kafka`; or use a listener with SCRAM or OAUTHBEARER"
)
FEATURES: Final = "builtin.features"  # librdkafka accepts a list of features only if it has all of them


@dataclass(frozen=True, slots=True)
class UnusableMechanism:
    """The setting that names the mechanism, why no client can log in by it, and what to do."""

    key: str
    reason: str
    help: str


def find_unusable_mechanism(
    config: Mapping[str, str], ask_librdkafka: Callable[[str, str], str]
) -> UnusableMechanism | None:
    """Return why the mechanism cannot work: OAUTHBEARER without a source of tokens, or Kerberos that is not built in.

    librdkafka itself waits in silence for a token that nobody sets.
    """
    key = next((name for name in KEYS if config.get(name)), "")
    if not key or not config.get("security.protocol", "").upper().startswith("SASL"):
        return None
    mechanism = config[key].upper()
    if mechanism == "OAUTHBEARER" and not _has_token_source(config):
        return UnusableMechanism(key, "OAUTHBEARER has no source of tokens", PROVIDERS)
    if mechanism == "GSSAPI" and ask_librdkafka(FEATURES, "sasl_gssapi"):
        reason = "the installed confluent-kafka has no Kerberos (GSSAPI), as all its wheels for Linux"
        return UnusableMechanism(key, reason, KERBEROS_RECIPE)
    return None


def _has_token_source(config: Mapping[str, str]) -> bool:
    return CALLBACK in config or config.get(METHOD, "").lower() == "oidc" or config.get(UNSECURED, "").lower() == "true"
