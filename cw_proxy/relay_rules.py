"""What a relay passes on: which headers and subprotocols of an upgrade, and which close codes.

In: headers as they came, codes as they came. Out: those that may go on. Refuses to know sockets and settings.

A relay puts its own key in the place of the client's. So a header goes on only if it is known, or is of a kind that
holds no credentials; what the client signed in with never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Headers = list[tuple[str, str]]

NORMAL, GOING_AWAY, NOT_UTF8, INTERNAL_ERROR, RESTART = 1000, 1001, 1007, 1011, 1012

_KNOWN = frozenset({
    "user-agent", "openai-beta", "originator", "version", "traceparent", "tracestate",
    "session_id", "session-id", "conversation_id", "conversation-id", "thread_id", "thread-id",
})  # fmt: skip
_KNOWN_BACK = frozenset({"retry-after", "retry-after-ms", "openai-version", "openai-model", "openai-processing-ms"})
# Credentials of one kind or another; and what gateways say to each other about the client.
_PRIVATE = re.compile(
    r"key|token|auth|secret|credential|cookie|passw|signature|identity"
    r"|^x-(forwarded|envoy|real-ip|client-ip|original|amz|goog|ms-client-principal)"
)
# A browser has nowhere else to put its key.
_PRIVATE_PROTOCOL = re.compile(r"^openai-(insecure-api-key|organization|project)\b")
_REASON_BYTES = 123


def passed_on(headers: Iterable[tuple[str, str]], auth_header: str) -> Headers:
    """Of a client's upgrade, to the upstream."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() != auth_header.lower() and _may_pass(name.lower(), value, _KNOWN)
    ]


def passed_back(headers: Iterable[tuple[str, str]]) -> Headers:
    """Of an upstream's answer to the upgrade, to the client."""
    return [(name, value) for name, value in headers if _may_pass(name.lower(), value, _KNOWN_BACK)]


def _may_pass(name: str, value: str, known: frozenset[str]) -> bool:
    # Other letters have no one encoding in a header.
    if not value.isascii() or not value.isprintable():
        return False
    # How much of a limit is left is said in tokens.
    if name.startswith("x-ratelimit-"):
        return True
    return name in known or (name.startswith("x-") and _PRIVATE.search(name) is None)


def subprotocols(headers: Mapping[str, str]) -> list[str]:
    """Those that a client offers, without the one that is its key."""
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    return [name for name in offered if name and name.isascii() and not _PRIVATE_PROTOCOL.match(name)]


def passable(code: int) -> int:
    """A close code that may stand in a frame: no code at all is a normal end, codes that are never sent are errors."""
    if code in (0, 1005):
        return NORMAL
    sent = code in range(1000, 1015) and code not in (1004, 1006)
    return code if sent or code in range(3000, 5000) else INTERNAL_ERROR


def reason(text: str) -> bytes:
    """As long as a close frame can hold."""
    return text.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore").encode()
