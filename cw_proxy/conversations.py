"""Authorization key and thread → the conversation's id upstream (conversion.md, "Conversations").

In: who asks (a digest, never the key), the thread's name, the time. Out: an id, the same while it is remembered.
Refuses to know clocks, randomness and what is said: the client's messages are the truth, sent whole every time.

Two keys never share a conversation, nor do two threads of one key. The thread is named by the first name the client
gives (clients.md), else by a fingerprint of its system text and first user turn, which stay while a chat grows.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

from cw_proxy.model import DocumentPart, ImagePart, Request

THREAD_HEADERS = ("x-conversation-id", "session-id", "thread-id", "x-session-id", "x-session-affinity")

Key = tuple[bytes, bytes]


def thread_of(request: Request, headers: Mapping[str, str]) -> bytes:
    """A hash of the thread's name. `headers` is looked up by lower-case name."""
    for header in THREAD_HEADERS:
        if named := headers.get(header):
            return _hash(header, named)
    if request.thread:
        return _hash("body", request.thread)
    return _hash("fingerprint", *fingerprint(request))


def fingerprint(request: Request) -> list[str]:
    """What stays the same while a chat grows: the system texts before the first user turn, and that turn."""
    said: list[str] = []
    for message in request.messages:
        said.append(f"{message.role}\0{message.text}")
        said += [_trace(part) for part in message.parts if isinstance(part, (ImagePart, DocumentPart))]
        if message.role == "user":
            break
    return said


def _trace(part: ImagePart | DocumentPart) -> str:
    """Enough to tell two files apart: chats may open with nothing but one."""
    return f"{part.format}\0{len(part.data)}\0{hashlib.sha256(part.data[-4096:]).hexdigest()}"


def _hash(*texts: str) -> bytes:
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8) + raw)
    return digest.digest()


class Conversations:
    """The ids in use, bounded by count (least recently used goes) and by seconds since their last use."""

    def __init__(self, *, capacity: int = 10_000, max_age: float = 24 * 3600) -> None:
        self._capacity = capacity
        self._max_age = max_age
        self._ids: OrderedDict[Key, tuple[str, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def id_for(self, owner: bytes, thread: bytes, *, now: float, new_id: Callable[[], str]) -> str:
        self._forget(now)
        key = (owner, thread)
        conversation_id, _ = self._ids.get(key) or (new_id(), now)
        self._remember(key, conversation_id, now)
        return conversation_id

    def adopt(self, owner: bytes, thread: bytes, conversation_id: str, *, now: float) -> None:
        """The service named the conversation itself."""
        self._remember((owner, thread), conversation_id, now)

    def _remember(self, key: Key, conversation_id: str, now: float) -> None:
        self._ids[key] = (conversation_id, now)
        self._ids.move_to_end(key)
        while len(self._ids) > self._capacity:
            self._ids.popitem(last=False)

    def _forget(self, now: float) -> None:
        # Ordered by last use, so the old ones stand in front.
        while self._ids:
            key, (_, used) = next(iter(self._ids.items()))
            if now - used <= self._max_age:
                return
            del self._ids[key]
