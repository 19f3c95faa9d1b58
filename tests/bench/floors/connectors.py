"""The least that a plan of connectors can read: all of them, in one request; with the libraries that any plan needs."""

import sys

import click  # noqa: F401
import requests
import yaml  # noqa: F401

answer = requests.get(f"{sys.argv[1]}/connectors", params=[("expand", "info"), ("expand", "status")], timeout=60)
answer.raise_for_status()
answer.json()
