"""The events of a WebSocket API, its limits, and what it tells a client when the function has failed.

In: a connection's id, where it comes from, what it says. Out: the JSON of an event or of a message. Refuses to know
sockets and clocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

DOMAIN = "abcdefghij.execute-api.eu-central-1.amazonaws.com"
STAGE = "local"
_ROUTES = {"CONNECT": "$connect", "MESSAGE": "$default", "DISCONNECT": "$disconnect"}


class Limits(msgspec.Struct, frozen=True):
    """AWS's quotas: bytes of a message and of a frame; seconds of an integration, of silence, of a connection."""

    message: int = 128 * 1024
    frame: int = 32 * 1024
    integration: float = 29.0
    idle: float = 600.0
    age: float = 7200.0


class Place(msgspec.Struct, frozen=True):
    """Whose events these are: `connected` is epoch seconds."""

    id: str
    address: str
    connected: float


def _event(kind: str, place: Place, request_id: str, now: float, **more: Any) -> bytes:
    context = {
        "routeKey": _ROUTES[kind],
        "eventType": kind,
        "extendedRequestId": request_id,
        "requestTimeEpoch": int(now * 1000),
        "messageDirection": "IN",
        "stage": STAGE,
        "connectedAt": int(place.connected * 1000),
        "identity": {"sourceIp": place.address},
        "requestId": request_id,
        "domainName": DOMAIN,
        "connectionId": place.id,
        "apiId": DOMAIN.partition(".")[0],
    }
    return json.dumps({"requestContext": context, "isBase64Encoded": False, **more}).encode()


def connect(place: Place, request_id: str, now: float, headers: Iterable[tuple[str, str]]) -> bytes:
    """The only one with headers."""
    lists: dict[str, list[str]] = {}
    for name, value in headers:
        lists.setdefault(name, []).append(value)
    single = {name: values[-1] for name, values in lists.items()}
    return _event("CONNECT", place, request_id, now, headers=single, multiValueHeaders=lists)


def message(place: Place, request_id: str, now: float, text: str) -> bytes:
    return _event("MESSAGE", place, request_id, now, body=text)


def disconnect(place: Place, request_id: str, now: float, code: int) -> bytes:
    return _event("DISCONNECT", place, request_id, now, headers={"Host": DOMAIN}, disconnectStatusCode=code)


def trouble(text: str, connection_id: str, request_id: str) -> str:
    return json.dumps({"message": text, "connectionId": connection_id, "requestId": request_id})


def status_of(answer: bytes) -> int:
    """Of a $connect's answer; 502 for what is none."""
    try:
        status = json.loads(answer)["statusCode"]
    except (ValueError, KeyError, TypeError):
        return 502
    return status if isinstance(status, int) and 100 <= status <= 599 else 502


def in_frames(text: str, size: int) -> list[str]:
    """A text in pieces that fit a frame each, however many bytes a character takes."""
    if len(text.encode()) <= size:
        return [text]
    step = max(1, size // 4)
    return [text[start : start + step] for start in range(0, len(text), step)]
