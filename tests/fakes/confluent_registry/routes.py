"""The requests that the imitated registry knows, each as its resource class answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.confluent_registry.answers import Answer, Refusal
from tests.fakes.confluent_registry.schemas import LEVELS, list_differences
from tests.fakes.confluent_registry.store import GLOBAL_LEVEL, GLOBAL_MODE, Store, Version, parse_version

Query = Mapping[str, str]


def has(query: Query, name: str) -> bool:
    return query.get(name, "").lower() == "true"


class Routes(Store):
    """One method for each request; the first parts of a path choose it."""

    def route(self, method: str, parts: Sequence[str], query: Query, body: Any) -> Answer:
        """Return the answer. Raises Refusal."""
        match method, *parts:
            case "GET", "subjects":
                return Answer(
                    body=[name for name in self.subjects if self.list_versions(name, deleted=has(query, "deleted"))]
                )
            case "GET", "schemas", "ids", number:
                return self.get_schema(int(number))
            case "POST", "compatibility", "subjects", subject, "versions":
                return self.check(subject, self.list_versions(subject), query, body)
            case "POST", "compatibility", "subjects", subject, "versions", text:
                return self.check_version(subject, text, query, body)
            case _, "subjects", subject, *rest:
                return self.route_subject(method, subject, rest, query, body)
            case _, "config", *rest:
                return self.route_level(method, "".join(rest), query, body)
            case _, "mode", *rest:
                return self.route_mode(method, "".join(rest), query, body)
        return Answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def route_subject(self, method: str, subject: str, rest: Sequence[str], query: Query, body: Any) -> Answer:
        match method, *rest:
            case ("POST",):
                return self.look_up(subject, query, body)
            case ("DELETE",):
                return self.delete_subject(subject, permanent=has(query, "permanent"))
            case "GET", "versions":
                return self.list_numbers(subject, deleted=has(query, "deleted"))
            case "POST", "versions":
                return self.register(subject, body)
            case "GET", "versions", text:
                version = self.find_version(subject, text, deleted=has(query, "deleted"))
                return Answer(body=show_version(subject, version))
            case "DELETE", "versions", text:
                return self.delete_version(subject, text, permanent=has(query, "permanent"))
            case "GET", "versions", text, "referencedby":
                users = self.find_users(subject, self.find_version(subject, text).number)
                return Answer(body=sorted({version.id for _, version in users}))
        return Answer(405, {"error_code": 405, "message": "HTTP 405 Method Not Allowed"})

    # -- schemas --------------------------------------------------------------------------------------------------
    def get_schema(self, schema_id: int) -> Answer:
        for name in self.subjects:
            for version in self.list_versions(name, deleted=True):
                if version.id == schema_id:
                    shown = show_version(name, version)
                    return Answer(
                        body={key: shown[key] for key in ("schema", "schemaType", "references") if key in shown}
                    )
        raise Refusal("id_not_found", id=schema_id)

    def look_up(self, subject: str, query: Query, body: Any) -> Answer:
        deleted = has(query, "deleted")
        found = self.find_same(subject, self.read_schema(body), deleted=deleted)
        if found is not None:
            return Answer(body=show_version(subject, found))
        if not self.list_versions(subject, deleted=deleted):
            raise Refusal("subject_not_found", subject=subject)
        raise Refusal("schema_not_found")

    def list_numbers(self, subject: str, *, deleted: bool) -> Answer:
        versions = self.list_versions(subject, deleted=deleted)
        if not versions:
            raise Refusal("subject_not_found", subject=subject)
        return Answer(body=[version.number for version in versions])

    def register(self, subject: str, body: Any) -> Answer:
        schema = self.read_schema(body)
        if (found := self.find_same(subject, schema)) is not None:
            return Answer(body={"id": found.id})
        self.check_mode(subject, registers=True)
        olds = [(version.number, version.schema) for version in self.list_versions(subject)]
        if details := list_differences(self.find_level(subject), schema, olds):
            raise Refusal("incompatible", subject=subject, details=", ".join(details))
        return Answer(body={"id": self.add(subject, schema).id})

    # -- compatibility --------------------------------------------------------------------------------------------
    def check_version(self, subject: str, text: str, query: Query, body: Any) -> Answer:
        number = parse_version(text)
        versions = [each for each in self.list_versions(subject) if number in (-1, each.number)]
        if not versions and number != -1:
            raise Refusal("version_not_found", version=number)
        return self.check(subject, versions[-1:], query, body)

    def check(self, subject: str, versions: Sequence[Version], query: Query, body: Any) -> Answer:
        olds = [(version.number, version.schema) for version in versions]
        try:
            messages = list_differences(self.find_level(subject), self.read_schema(body), olds)
        except Refusal as refusal:
            if not has(query, "verbose"):
                raise
            messages = [refusal.answer.body["message"]]
        verdict: dict[str, Any] = {"is_compatible": not messages}
        return Answer(body=verdict | ({"messages": messages} if has(query, "verbose") else {}))

    # -- deletion -------------------------------------------------------------------------------------------------
    def delete_subject(self, subject: str, *, permanent: bool) -> Answer:
        if not self.list_versions(subject, deleted=True):
            raise Refusal("subject_not_found", subject=subject)
        versions = self.list_versions(subject, deleted=permanent)
        if not versions:
            raise Refusal("subject_soft_deleted", subject=subject)
        self.check_mode(subject)
        self.check_users(subject, versions, permanent=permanent, own=False)
        if permanent:
            if not all(version.deleted for version in versions):
                raise Refusal("subject_not_soft_deleted", subject=subject)
            del self.subjects[subject]
            self.forget(subject)
        elif self.forgets_level:
            self.levels.pop(subject, None)
        for version in versions:
            version.deleted = True
        return Answer(body=[version.number for version in versions])

    def delete_version(self, subject: str, text: str, *, permanent: bool) -> Answer:
        version = self.find_version(subject, text, deleted=text != "latest")
        if version.deleted and not permanent:
            raise Refusal("version_soft_deleted", subject=subject, version=version.number)
        self.check_mode(subject)
        self.check_users(subject, [version], permanent=permanent, own=True)
        if permanent:
            if not version.deleted:
                raise Refusal("version_not_soft_deleted", subject=subject, version=version.number)
            del self.subjects[subject][version.number]
            if not self.subjects[subject]:
                self.forget(subject)
        version.deleted = True
        return Answer(body=version.number)

    # -- levels and modes -----------------------------------------------------------------------------------------
    def route_level(self, method: str, subject: str, query: Query, body: Any) -> Answer:
        own = self.levels.get(subject)
        if method == "PUT":
            level = str(body.get("compatibility", "")).upper()
            if level not in LEVELS:
                raise Refusal("invalid_level")
            if subject and self.needs_subject and not self.list_versions(subject):
                raise Refusal("subject_not_found", subject=subject)
            self.check_mode(subject)
            self.levels[subject] = level
            return Answer(body={"compatibility": level})
        if method == "DELETE":
            if own is None:
                raise Refusal("subject_not_found", subject=subject)
            self.levels.pop(subject)
            self.levels.setdefault("", GLOBAL_LEVEL)
        level = own or (self.levels[""] if has(query, "defaultToGlobal") else "")
        if not level:
            raise Refusal("no_own_level", subject=subject)
        return Answer(body={"compatibilityLevel": level})

    def route_mode(self, method: str, subject: str, query: Query, body: Any) -> Answer:
        if method == "PUT":
            self.modes[subject] = body["mode"]
            return Answer(body={"mode": body["mode"]})
        own = self.modes.get(subject)
        if method == "DELETE":
            if own is None:
                raise Refusal("subject_not_found", subject=subject)
            self.modes.pop(subject)
            self.modes.setdefault("", GLOBAL_MODE)
        mode = own or (self.modes[""] if has(query, "defaultToGlobal") else "")
        if not mode:
            raise Refusal("no_own_mode", subject=subject)
        return Answer(body={"mode": mode})


def show_version(subject: str, version: Version) -> dict[str, Any]:
    """Return a version as rest/entities/Schema.java writes it: what is empty is left out."""
    references = [dict(zip(("name", "subject", "version"), each, strict=True)) for each in version.schema.references]
    shown = {
        "subject": subject,
        "version": version.number,
        "id": version.id,
        "schemaType": version.schema.type,
        "schema": version.schema.text,
    }
    shown |= {"references": references} if references else {}
    return shown | ({"deleted": True} if version.deleted else {})
