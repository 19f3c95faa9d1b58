"""The structure of a table, as a database or a file of DDL describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from kplan.values import dataclass

Avro = str | list[Any] | dict[str, Any]  # a schema, or a part of one, as JSON


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `type` and `default` are as the database prints them; `default` is None where there is none.

    `user_type` is what a type that users define is, or that of an array's items: `enum`, `domain` or `composite`;
    `base` is the type that a domain is of.
    """

    name: str
    type: str
    nullable: bool = True
    default: str | None = None
    user_type: str = ""
    base: str = ""


@dataclass(frozen=True, slots=True)
class TableStructure:
    """A table. `name` is as include lists have it; `key` are the columns of the primary key, in its order."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()


class NotPredicted(Exception):
    """Why kplan does not say what Debezium makes of a column."""


@dataclass(frozen=True, slots=True)
class PredictedField:
    """A field of a record: `has_default` tells that Debezium takes the column's default into the schema."""

    column: str
    type: Avro
    nullable: bool
    has_default: bool = False


Fields = tuple[tuple[str, PredictedField], ...]  # by their names in a record, in order


@dataclass(frozen=True, slots=True)
class Prediction:
    """What Debezium will register for a table: the fields of its rows, and of its key.

    `missing` says of each column that cannot be predicted why, `missing_key` the same of the key: a schema with one of
    these is not predicted. `key` is None without a prediction.
    """

    table: str
    value: Fields = ()
    key: Fields | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    missing_key: str = ""
