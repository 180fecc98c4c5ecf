"""The answer that is replayed: its texts, its bytes in both languages, and how a request asks for it.

Made once for each size, so that the replaying server costs next to nothing.
"""

from __future__ import annotations

import json
import re
from functools import cache

from cw_proxy.wire.eventstream import encode_frame

# The size of real deltas, with what must be escaped and what is not ASCII.
_WORDS = ("The", " quick", " brown", " fox", ",\n", ' "jumps"', " over", " the", " lazy", " dög", ".", " 日本", "\t`x`")
_ASKED = re.compile(rb"bench (\d+) (\d+) (eventstream|sse)")
_CHUNK = {
    "id": "chatcmpl-0123456789abcdef0123456789abcdef",
    "object": "chat.completion.chunk",
    "created": 1_760_000_000,
}


def prompt(events: int, pause: int, language: str) -> str:
    """What to write into a chat so that the upstream answers with `events` deltas, `pause` milliseconds apart."""
    return f"bench {events} {pause} {language}"


def asked(body: bytes) -> tuple[int, int, str]:
    found = _ASKED.search(body)
    if found is None:
        raise ValueError("the request does not say what to answer")
    return int(found[1]), int(found[2]), found[3].decode()


def texts(events: int) -> list[str]:
    return [_WORDS[at % len(_WORDS)] for at in range(events)]


@cache
def pieces(events: int, language: str) -> list[bytes]:
    """One HTTP chunk for each delta, as a server that flushes them sends it; the last holds what ends the answer."""
    deltas = texts(events)
    if language == "sse":
        messages = [_sse({"delta": {"content": text}, "finish_reason": None}) for text in deltas]
        last = [_sse({"delta": {}, "finish_reason": "stop"}), b"data: [DONE]\n\n"]
    else:
        messages = [_frame("assistantResponseEvent", {"content": text, "modelId": "auto"}) for text in deltas]
        last = [_frame("meteringEvent", {"usage": 0.01, "unit": "credit"})]
    ending = b"".join(_chunked(message) for message in last) + b"0\r\n\r\n"
    return [*(_chunked(message) for message in messages), ending]


@cache
def whole(events: int, language: str) -> bytes:
    return b"".join(pieces(events, language))


def _frame(event: str, payload: dict[str, object]) -> bytes:
    headers = {":event-type": event, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, json.dumps(payload, ensure_ascii=False).encode())


def _sse(choice: dict[str, object]) -> bytes:
    chunk = {**_CHUNK, "model": "auto", "choices": [{"index": 0, **choice}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
