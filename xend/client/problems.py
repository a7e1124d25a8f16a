"""What the interface refuses, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx


class ApiError(Exception):
    """A problem document (RFC 9457).  `code` is stable: compare that, not the text."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.document = document
        self.code = str(document.get("code", ""))
        self.detail = str(document.get("detail", ""))
        super().__init__(f"{status} {self.code}: {self.detail}")

    @property
    def fields(self) -> Mapping[str, Any]:
        """What the error knows: a domain's state, libxl's log …"""
        fields: Mapping[str, Any] = self.document.get("fields") or {}
        return fields

    @classmethod
    def of(cls, response: httpx.Response) -> ApiError:
        """The body must have been read."""
        try:
            document = response.json()
        except ValueError:
            document = {}
        if not isinstance(document, dict):
            document = {}
        return cls(response.status_code, document or {"detail": response.text[:500]})


def raise_of_operation(operation: Mapping[str, Any]) -> None:
    """ApiError when it ended otherwise than well."""
    if operation["status"] == "done":
        return
    problem = operation.get("error") or {"code": operation["status"], "detail": "no details"}
    raise ApiError(int(problem.get("status", 500)), problem)
