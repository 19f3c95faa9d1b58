"""The client of a registry's REST API.

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from kplan.diagnostics import Busy, Denied, KplanError, Rejected, Timeout, Unsupported, codes
from kplan.kinds.subject.subject import Reference
from kplan.model.masks import Mask
from kplan.servers.access import Access, Pacing
from kplan.servers.peer import Peer
from kplan.servers.registry.api import NotCompatible, NotFound, RegisteredSchema, Verdict
from kplan.servers.registry.dialect import find_dialect
from kplan.servers.rest import Rest, open_rest

PARALLEL: Final = 16  # requests at a time, each on a connection that is kept
NOT_SOFT_DELETED, REFERENCED, READ_ONLY = 40405, 42206, 42205
_DENIALS: Mapping[int, str] = {401: "it does not know this login", 403: "this user may not"}


def make_error(status: int, body: str, request: str, host: str, mask: Mask) -> KplanError:
    """Return what an unsuccessful answer means: https://docs.confluent.io/…/develop/api.html#errors."""
    code, message = _read_failure(body)
    text = mask.mask(message) or _DENIALS.get(status, "nothing more")
    answer = f"the registry ({host}) answers {status}{f' ({code})' if code not in (0, status) else ''}"
    if status in (401, 403):
        login = "check the login under `schema_registry`" if status == 401 else "see docs/permissions.md"
        return Denied(f"{answer} to {request}: {text}", help=login)
    if status == 404:
        return NotFound(f"{answer} to {request}: {text}", help="check `schema_registry.url`, and its path")
    if status == 409 and code != NOT_SOFT_DELETED:
        return NotCompatible(f"{answer}: {text}", help="see `kplan explain K341`")
    if code == REFERENCED:
        return Rejected(f"{answer}: {text}", code=codes.K347, help="delete what refers to it first")
    if code == READ_ONLY:
        return Rejected(f"{answer}: {text}", code=codes.K346, help="set its mode to READWRITE in the registry")
    if status in (429, 503):
        return Busy(f"{answer}: {text}", help="the registry is busy or starts; try again")
    if status in (405, 501):
        return Unsupported(f"{answer} to {request}: {text}", help="this registry cannot do it")
    if status >= 500:
        return Timeout(f"{answer}: {text}", help="see the log of the registry")
    return Rejected(f"{answer}: {text}", code=codes.K345, help="see `kplan explain K345`")


def _read_failure(body: str) -> tuple[int, str]:
    """Return the error code and the message of an answer; 0 and the start of the text where it has none."""
    try:
        data = json.loads(body)
    except ValueError:
        return 0, " ".join(re.sub(r"<[^>]*>", " ", body).split())[:200]
    if not isinstance(data, dict):
        return 0, ""
    code = data.get("error_code")
    return code if isinstance(code, int) else 0, str(data.get("message") or data.get("title") or "")


PEER = Peer(
    "the schema registry",
    "a schema registry",
    "registry",
    "schema_registry",
    "it needs the port of the registry's REST API, often 8081",
    logging.getLogger("kplan.servers.registry"),
    make_error,
    lambda failure: isinstance(failure, Busy),
)


class RegistryClient:
    """A registry over HTTP."""

    def __init__(self, access: Access, pacing: Pacing, mask: Mask) -> None:
        self._rest = open_rest(PEER, access, pacing, mask)
        self._dialect = find_dialect(self._rest, mask)
        self.keeps_none = self._dialect.keeps_none
        self._global_level: str | None = None

    @property
    def rest(self) -> Rest:
        """Return the client of its paths."""
        return self._rest

    @property
    def retries(self) -> int:
        return self._rest.retries

    def list_subjects(self) -> Sequence[str]:
        return [str(name) for name in _expect(self._rest.call("GET", "/subjects"), list)]

    def list_versions(self, subject: str, *, deleted: bool = False) -> Sequence[int]:
        found = self._get(f"{_path(subject)}/versions{'?deleted=true' if deleted else ''}")
        return sorted(int(each) for each in found or ())

    def read_version(self, subject: str, version: int | None = None) -> RegisteredSchema | None:
        found = self._get(f"{_path(subject)}/versions/{'latest' if version is None else version}")
        return None if found is None else _read_schema(found)

    def read_schema(self, schema_id: int) -> RegisteredSchema:
        return _read_schema(self._rest.call("GET", f"/schemas/ids/{schema_id}"))

    def find(self, subject: str, schema: RegisteredSchema) -> RegisteredSchema | None:
        try:
            found = self._rest.call("POST", f"{_path(subject)}?normalize=true", _to_body(schema))
        except NotFound:
            return None
        return _read_schema(found)

    def check(self, subject: str, schema: RegisteredSchema, *, all_versions: bool) -> Verdict:
        versions = "versions" if all_versions else "versions/latest"
        path = f"/compatibility{_path(subject)}/{versions}?verbose=true&normalize=true"
        try:
            answer = _expect(self._rest.call("POST", path, _to_body(schema)), dict)
        except NotFound:
            return Verdict(True)
        messages = tuple(str(each) for each in answer.get("messages") or ())
        return Verdict(bool(answer.get("is_compatible")), messages)

    def register(self, subject: str, schema: RegisteredSchema) -> int:
        answer = self._rest.call("POST", f"{_path(subject)}/versions?normalize=true", _to_body(schema))
        return int(_expect(answer, dict).get("id", 0))

    def delete_version(self, subject: str, version: int) -> None:
        self._delete(f"{_path(subject)}/versions/{version}")

    def delete_subject(self, subject: str, *, permanent: bool = False) -> None:
        self._delete(f"{_path(subject)}{'?permanent=true' if permanent else ''}")

    def read_level(self, subject: str) -> str | None:
        answer = self._get(f"/config/{quote(subject, safe='')}")
        level = None if answer is None else str(_expect(answer, dict).get("compatibilityLevel", "")) or None
        return self._dialect.find_own_level(subject, level, self.read_global_level)

    def read_global_level(self) -> str:
        if self._global_level is None:
            self._global_level = str(_expect(self._rest.call("GET", "/config"), dict).get("compatibilityLevel", ""))
        return self._global_level

    def set_level(self, subject: str, level: str) -> None:
        self._rest.call("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level})

    def delete_level(self, subject: str) -> None:
        self._delete(f"/config/{quote(subject, safe='')}")

    def read_mode(self, subject: str) -> str:
        try:
            answer = self._get(f"/mode/{quote(subject, safe='')}?defaultToGlobal=true" if subject else "/mode")
        except (Denied, Unsupported):
            return ""
        return str(answer.get("mode", "")) if isinstance(answer, dict) else ""

    def close(self) -> None:
        self._dialect.close()
        self._rest.close()

    def _get(self, path: str) -> Any:
        """Return the answer; None where there is no such thing."""
        try:
            return self._rest.call("GET", path)
        except NotFound:
            return None

    def _delete(self, path: str) -> None:
        """Delete what is there; what was deleted already, by an earlier attempt perhaps, is not an error."""
        try:
            self._rest.call("DELETE", path)
        except NotFound:
            return


def _path(subject: str) -> str:
    return f"/subjects/{quote(subject, safe='')}"


def _to_body(schema: RegisteredSchema) -> dict[str, Any]:
    references = [
        {"name": each.name, "subject": each.subject, "version": each.version or -1} for each in schema.references
    ]
    body: dict[str, Any] = {"schema": schema.text, "schemaType": schema.schema_type.upper()}
    return {**body, "references": references} if references else body


def _read_schema(data: Any) -> RegisteredSchema:
    fields = _expect(data, dict)
    references = tuple(
        Reference(str(each["name"]), str(each["subject"]), int(each["version"]))
        for each in fields.get("references") or ()
    )
    schema_type = str(fields.get("schemaType") or "AVRO").lower()
    version, schema_id = (fields.get(key) for key in ("version", "id"))
    return RegisteredSchema(schema_type, str(fields.get("schema", "")), references, version or 0, schema_id or 0)


def _expect(answer: Any, shape: type) -> Any:
    """Return an answer of this shape. Raises Unsupported for any other."""
    if isinstance(answer, shape):
        return answer
    raise Unsupported("this does not answer like a schema registry", help="check `schema_registry.url`, and its path")
