"""NATS messages: what the headers are called, what an error's are, and how large a message is.

In: headers, bodies, errors. Out: headers, sizes in bytes. Refuses to know connections and what bodies mean. The names
of the error headers are those of NATS's micro services (ADR-32); the others are ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from cw_proxy.errors import ProxyError

ERROR, ERROR_CODE = "Nats-Service-Error", "Nats-Service-Error-Code"
# The number of a message in a stream, from 1; how a request ended, as an HTTP status.
SEQUENCE, STATUS = "Cw-Sequence", "Cw-Status"

_WORDS = 500  # characters of an error in a header


def failure(error: ProxyError) -> dict[str, str]:
    """A header holds one line of ASCII."""
    words = " ".join(error.message.split()).encode("ascii", "backslashreplace").decode()
    return {ERROR: words[:_WORDS], ERROR_CODE: str(error.status), STATUS: str(error.status)}


def nobody_listens(headers: Mapping[str, str] | None, body: bytes) -> bool:
    """Whether this is the server's word that there is no subscriber where a message was sent to."""
    return not body and (headers or {}).get("Status") == "503"


def size(body: bytes, headers: Mapping[str, str] | None) -> int:
    """What the server counts against its max_payload: nats-py looks at the body alone, and the server ends a
    connection over it, with all that is under way there (transports.md §1)."""
    if not headers:
        return len(body)
    lines = (len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())
    return len(b"NATS/1.0\r\n\r\n") + sum(lines) + len(body)
