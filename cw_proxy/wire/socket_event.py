"""Events of a WebSocket API, and the one that this function sends to itself.

In: an event's JSON; what is to be answered. Out: Connect, Message, Disconnect or Turn; JSON. Refuses to know sockets,
AWS's clients and what the messages mean. Raises NotSocket.

A front puts what its client says into `headers`, `body` and the query, and makes all else itself. So a member of our
own at the top can come from nobody but who may invoke the function, by IAM (transports.md §2).
"""

from __future__ import annotations

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Mapping
from typing import Any

import msgspec

# Bytes: what one message to a client may have, and one frame; AWS cuts a message into frames itself.
MAX_MESSAGE = 128 * 1024
MAX_FRAME = 32 * 1024

# It becomes part of a path.
_ID = re.compile(r"[A-Za-z0-9_=+/-]{1,128}")


class NotSocket(ValueError):
    """The event is no WebSocket's; the message quotes nothing of it."""


class Connect(msgspec.Struct, frozen=True):
    """`headers` have lower-case names; only this event has any. `identified` says that AWS knows who asks."""

    id: str
    address: str
    headers: Mapping[str, str]
    identified: bool


class Message(msgspec.Struct, frozen=True):
    """`endpoint` is where answers are posted, as the front's own domain has it; empty where it names none."""

    id: str
    address: str
    endpoint: str
    body: bytes


class Disconnect(msgspec.Struct, frozen=True):
    id: str


class Turn(msgspec.Struct, frozen=True):
    """A message that was acknowledged, to be answered without anybody waiting."""

    id: str
    address: str
    endpoint: str
    body: bytes


SocketEvent = Connect | Message | Disconnect | Turn


class _Identity(msgspec.Struct, rename="camel"):
    source_ip: str | None = None
    user_arn: str | None = None


class _Context(msgspec.Struct, rename="camel"):
    event_type: str
    connection_id: str
    domain_name: str = ""
    stage: str = ""
    identity: _Identity | None = None
    authorizer: dict[str, Any] | None = None


class _Event(msgspec.Struct, rename="camel"):
    request_context: _Context | None = None
    headers: dict[str, str | None] | None = None
    body: str | None = None
    is_base64_encoded: bool = False
    turn: Turn | None = msgspec.field(default=None, name="cw-proxy.turn")


_DECODER = msgspec.json.Decoder(_Event)


def parse(data: bytes) -> SocketEvent:
    """Raises NotSocket."""
    try:
        event = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        event = None
    if event is None:
        raise NotSocket("The event is not one of a WebSocket API.")
    if event.request_context is not None:
        return _of_front(event, event.request_context)
    if event.turn is not None and _ID.fullmatch(event.turn.id):
        return event.turn
    raise NotSocket("The event is not one of a WebSocket API.")


def _of_front(event: _Event, context: _Context) -> SocketEvent:
    if not _ID.fullmatch(context.connection_id):
        raise NotSocket("The event has no connection's id.")
    identity = context.identity or _Identity()
    address = identity.source_ip or ""
    match context.event_type:
        case "CONNECT":
            headers = {name.lower(): value for name, value in (event.headers or {}).items() if value is not None}
            identified = bool(context.authorizer or identity.user_arn)
            return Connect(context.connection_id, address, headers, identified)
        case "MESSAGE":
            named = context.domain_name and context.stage
            endpoint = f"https://{context.domain_name}/{context.stage}" if named else ""
            return Message(context.connection_id, address, endpoint, _body(event))
        case "DISCONNECT":
            return Disconnect(context.connection_id)
        case _:
            raise NotSocket("The event is not one of a WebSocket API.")


def _body(event: _Event) -> bytes:
    if not event.is_base64_encoded:
        return (event.body or "").encode()
    try:
        return base64.b64decode(event.body or "", validate=True)
    except (NotBase64, ValueError):
        pass
    raise NotSocket("The event's body is not base64.")


def turn(message: Message, endpoint: str) -> bytes:
    """The event that has this message answered. Its body is base64, since a text's escapes could take six times as
    much, and an event that nobody waits for may have 256 KB."""
    told = Turn(message.id, message.address, endpoint, message.body)
    return msgspec.json.encode({"cw-proxy.turn": told})


def answer(status: int = 200, body: bytes = b"") -> bytes:
    """To the front. A body reaches the client of a refused connection only."""
    return msgspec.json.encode({"statusCode": status, "body": body.decode()})


def pieces(data: bytes, size: int = MAX_FRAME) -> list[bytes]:
    """UTF-8 in pieces of at most so many bytes, four or more, none of which ends within a character."""
    found = []
    start = 0
    while len(data) - start > size:
        end = start + size
        while data[end] & 0xC0 == 0x80:
            end -= 1
        found.append(data[start:end])
        start = end
    return [*found, data[start:]]
