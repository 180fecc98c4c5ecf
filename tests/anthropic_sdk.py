"""Anthropic's official client as judge: an answer's bytes as anthropic-python reads and folds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import msgspec
from anthropic.types import Message, RawMessageStreamEvent


class Call(msgspec.Struct, frozen=True):
    id: str
    name: str
    input: Any


class Folded(msgspec.Struct, frozen=True):
    text: str
    thinking: str
    signatures: list[str]
    redacted: list[str]
    calls: list[Call]
    stop_reason: str | None
    stop_sequence: str | None


class Judge:
    """One real client, with strict validation of answers; its transport answers the bytes under judgement."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._media_type = ""
        self._client = anthropic.Anthropic(
            api_key="none",
            base_url="http://judge",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._answer)),
            _strict_response_validation=True,
        )

    def _answer(self, _: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self._media_type}, content=iter(self._chunks))

    def events(self, stream: list[bytes]) -> Iterator[RawMessageStreamEvent]:
        """Raises anthropic.APIError as the client's user sees it."""
        self._chunks, self._media_type = stream, "text/event-stream"
        yield from self._client.messages.create(model="auto", max_tokens=9, messages=[], stream=True)

    def full(self, body: bytes) -> Message:
        self._chunks, self._media_type = [body], "application/json"
        return self._client.messages.create(model="auto", max_tokens=9, messages=[])

    def message(self, stream: list[bytes]) -> Message:
        """What the client's own accumulator makes of the stream."""
        self._chunks, self._media_type = stream, "text/event-stream"
        with self._client.messages.stream(model="auto", max_tokens=9, messages=[]) as events:
            return events.get_final_message()

    def fold(self, stream: list[bytes]) -> Folded:
        return folded(self.message(stream))


def folded(message: Message) -> Folded:
    of: dict[str, list[Any]] = {"text": [], "thinking": [], "redacted_thinking": [], "tool_use": []}
    for block in message.content:
        of[block.type].append(block)
    return Folded(
        text="".join(block.text for block in of["text"]),
        thinking="".join(block.thinking for block in of["thinking"]),
        signatures=[block.signature for block in of["thinking"] if block.signature],
        redacted=[block.data for block in of["redacted_thinking"]],
        calls=[Call(block.id, block.name, block.input) for block in of["tool_use"]],
        stop_reason=message.stop_reason,
        stop_sequence=message.stop_sequence,
    )
