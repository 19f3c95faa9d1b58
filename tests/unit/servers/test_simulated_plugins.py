"""The connector classes, transforms and converters of a simulated Connect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell

KPLAN = "version: 1\nenvironments: {local: {simulated: SIMULATED}}\n"
STACK = "version: 1\nstack: shop\nconnectors:\n  shop-archive:\n    class: CLASS\n    config: {CONFIG}\n"
S3 = "io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector"
ONE_OF_THEIRS = '"topics": shop.orders, transforms: own, transforms.own.type: com.example.Rename$Value'


def plan(folder: Path, java_class: str, config: str = "", simulated: str = "{}", expect: int = 4) -> str:
    """Plan a connector of this class, and return the errors."""
    shell = Shell(folder)
    shell.write("kplan.yaml", KPLAN.replace("SIMULATED", simulated))
    shell.write("shop.yaml", STACK.replace("CLASS", java_class).replace("CONFIG", config))
    return " ".join(shell.kplan("plan", "shop.yaml", expect=expect).err.split())


def test_a_class_that_may_exist_is_taken_and_then_there_is_nothing_to_do(tmp_path: Path) -> None:
    plan(tmp_path, S3, ONE_OF_THEIRS + ", value.converter: com.example.AvroConverter", expect=0)
    shell = Shell(tmp_path)
    shell.kplan("apply", "shop.yaml", "--yes")
    assert "No changes" in shell.kplan("plan", "shop.yaml").out


@pytest.mark.parametrize("written", [
    "io.debezium.connector.postgresql.PostgressConnector",
    "io.debezium.connector.postgres.PostgresConnector",
    "PostgreConnector",
])  # fmt: skip
def test_a_known_class_misspelt_is_refused(written: str, tmp_path: Path) -> None:
    errors = plan(tmp_path, written, "database.hostname: h")
    assert "K303" in errors and "did you mean io.debezium.connector.postgresql.PostgresConnector?" in errors


@pytest.mark.parametrize("written", ["no.such", "io.aiven.kafka.S3 Sink"])
def test_what_is_no_name_of_a_class_is_refused(written: str, tmp_path: Path) -> None:
    assert "not the name of a Java class" in plan(tmp_path, written, '"topics": a')


def test_a_name_without_a_dot_or_a_capital_is_taken_for_a_class_of_the_stack(tmp_path: Path) -> None:
    errors = plan(tmp_path, "s3-sink", '"topics": a')
    assert "K117" in errors and "a Java class has a dot or begins with a capital letter" in errors


def test_a_list_is_all_that_there_is_besides_the_known_ones(tmp_path: Path) -> None:
    errors = plan(tmp_path, S3, '"topics": shop.orders', "{plugins: []}")
    assert "the simulated Connect" in errors and "Failed to find any class" in errors
    assert f"`simulated: {{plugins: [{S3}]}}`, or `plugins: any`" in errors
    plan(tmp_path, S3, '"topics": shop.orders', f"{{plugins: [{S3}]}}", expect=0)
    errors = plan(tmp_path, S3, ONE_OF_THEIRS, f"{{plugins: [{S3}]}}")
    assert "K302" in errors and "Class com.example.Rename$Value could not be found" in errors
    assert "shop.yaml:6:" in errors and f"[{S3}, com.example.Rename$Value]" in errors


def test_a_sink_of_any_class_needs_topics(tmp_path: Path) -> None:
    assert "Must configure one of topics or topics.regex" in plan(tmp_path, S3, "tasks.max: 2")


def test_what_is_no_list_of_classes_is_an_error_of_the_file(tmp_path: Path) -> None:
    assert "a list of Java classes" in plan(tmp_path, S3, '"topics": a', "{plugins: all}")
