"""A secret that is written in a file is not shown with the line it stands in."""

import pytest

from kplan.language.literals import hide_literals

SECRET = "hunter-2-canary"


@pytest.mark.parametrize(
    "text",
    [
        f"password: {SECRET}",
        f'  database.password: "{SECRET}"',
        f"database: {{hostname: h, password: {SECRET}, name: x}}",
        f'{{"sasl.password": "{SECRET}", "x": 1}}',
        f"  api_key: '{SECRET}'  # a comment",
        f"  token: |\n    {SECRET}\n  next: x",
        f"sasl.jaas.config: org.x.PlainLoginModule required password={SECRET};",
    ],
)
def test_a_literal_secret_is_hidden_and_keeps_its_width(text: str) -> None:
    shown, values = hide_literals(text)
    assert SECRET not in shown
    assert len(shown) == len(text)
    assert any(SECRET in value for value in values)


@pytest.mark.parametrize(
    "text", ["password: '{{ var.db_password }}'", "password: ${file:/x:y}", "hostname: h", "retention.ms: 7d"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert hide_literals(text) == (text, ())
