"""No value of a secret gets into what is said."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.model import Secret
from kplan.model.masks import HIDDEN, Mask

HARD = 'p/w "ö<&>\\n+$'


def test_every_value_is_hidden() -> None:
    mask = Mask(["hunter22", Secret(value="canary-7")])
    assert mask.mask("a hunter22 b canary-7") == f"a {HIDDEN} b {HIDDEN}"


def test_the_short_and_the_unknown_are_left_alone() -> None:
    mask = Mask(["abc", "", None, Secret()])
    assert mask.mask("abc and nothing") == "abc and nothing"


@pytest.mark.parametrize(
    "form",
    [HARD, quote(HARD), quote(HARD, safe=""), quote_plus(HARD), quote(HARD, safe="").lower(), json.dumps(HARD)[1:-1],
     json.dumps(HARD, ensure_ascii=False)[1:-1], html.escape(HARD), html.escape(HARD, quote=False)],
)  # fmt: skip
def test_a_value_is_hidden_however_it_is_written(form: str) -> None:
    assert Mask([HARD]).mask(f"x {form} y") == f"x {HIDDEN} y"


@given(st.text(min_size=8, max_size=30), st.text(max_size=9), st.text(max_size=9))
def test_a_value_is_hidden_inside_anything_in_base64(secret: str, before: str, after: str) -> None:
    """As in the header of basic authentication; all that is left may be parts of its first and last byte."""
    said = f"{before}{secret}{after}".encode("utf-8", "surrogatepass")
    mask = Mask([secret])
    for code in (base64.b64encode, base64.urlsafe_b64encode):
        masked = mask.mask(code(said).decode())
        assert HIDDEN in masked
        assert len(masked.replace(HIDDEN, "").rstrip("=")) * 3 <= 4 * (len(said) - len(secret.encode()) + 4)


def test_secrets_that_overlap_are_hidden_whole() -> None:
    assert Mask(["abcd", "cdef", "abcdefgh"]).mask("1 abcdef 2 abcdefgh 3") == f"1 {HIDDEN} 2 {HIDDEN} 3"
    assert Mask(["aaaa"]).mask("aaaaaa") == HIDDEN


def test_secrets_side_by_side_are_two() -> None:
    assert Mask(["abcd", "efgh"]).mask("abcdefgh") == HIDDEN * 2


def test_the_lines_of_a_long_secret_are_secrets() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n"
    masked = Mask([key]).mask("cannot parse MIIEvQIBADANBg kqhkiG9w0BAQEF")
    assert "MIIE" not in masked and "kqhk" not in masked


@pytest.mark.parametrize(
    "secret",
    ["mongodb://cdc:h1dden!@db/?x", 'org.ScramLoginModule required username="cdc" password="h1dden!";',
     "mongodb+srv://cdc:h1dden!@db:99999999/x"],
)  # fmt: skip
def test_the_password_within_a_secret_is_a_secret(secret: str) -> None:
    masked = Mask([secret]).mask("login of cdc with h1dden! failed")
    assert masked == f"login of cdc with {HIDDEN} failed"


def test_what_is_added_later_counts() -> None:
    mask = Mask()
    assert mask.mask("hunter22") == "hunter22"
    mask.add_config({"password": Secret(value="hunter22"), "user": "hunter"})
    assert mask.mask("hunter22 hunter") == f"{HIDDEN} hunter"


@given(st.lists(st.text(min_size=4, max_size=12), max_size=6), st.text(max_size=30), st.data())
def test_no_secret_survives(secrets: list[str], text: str, data: st.DataObject) -> None:
    said = text + "".join(data.draw(st.permutations(secrets))) + text
    pieces = Mask(secrets).mask(said).split(HIDDEN)
    assert all(secret not in piece for secret in secrets for piece in pieces)


def test_thousands_of_lines_are_fast() -> None:
    mask = Mask(base64.b64encode(bytes([number] * 12)).decode() for number in range(100))
    lines = ["2026-08-22T10:15:02Z INFO kplan.servers.connect PUT /connectors/kbe/config -> 200 0.031 s"] * 5000
    start = time.process_time()
    assert [mask.mask(line) for line in lines] == lines
    assert time.process_time() - start < 2
