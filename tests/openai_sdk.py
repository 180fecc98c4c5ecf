"""The official client as judge: an answer's bytes as openai-python reads and folds them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import msgspec
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk


class Call(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str


class Folded(msgspec.Struct, frozen=True):
    text: str
    calls: list[Call]
    finish_reason: str | None


class Client:
    """One real client, with strict validation of answers; its transport answers the bytes under judgement."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._media_type = ""
        self._client = openai.OpenAI(
            api_key="none",
            base_url="http://judge/v1",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._answer)),
            _strict_response_validation=True,
        )

    def _answer(self, _: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self._media_type}, content=iter(self._chunks))

    def streaming(self, chunks: list[bytes]) -> openai.OpenAI:
        self._chunks, self._media_type = chunks, "text/event-stream"
        return self._client

    def answering(self, body: bytes) -> openai.OpenAI:
        self._chunks, self._media_type = [body], "application/json"
        return self._client


class Judge(Client):
    def chunks(self, stream: list[bytes]) -> Iterator[ChatCompletionChunk]:
        """Raises openai.APIError as the client's user sees it."""
        yield from self.streaming(stream).chat.completions.create(model="auto", messages=[], stream=True)

    def full(self, body: bytes) -> ChatCompletion:
        return self.answering(body).chat.completions.create(model="auto", messages=[])

    def fold(self, stream: list[bytes]) -> Folded:
        """What the client's own accumulator makes of the stream."""
        state = ChatCompletionStreamState()
        for chunk in self.chunks(stream):
            state.handle_chunk(chunk)
        return folded(state.current_completion_snapshot)


def folded(completion: ChatCompletion) -> Folded:
    [choice] = completion.choices
    calls = [Call(call.id, call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
    return Folded(choice.message.content or "", calls, choice.finish_reason)
