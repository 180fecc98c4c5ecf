"""A client of the emulator for the tests, and the smallest bodies that it takes.

In: texts and bodies. Out: what came back, frames decoded. Refuses to know pytest.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from cw_proxy.wire.eventstream import Frame, FrameDecoder, FrameError

Body = dict[str, Any]


class Seen:
    """What one call brought: `lost` where the connection ended before the body did."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.raw = b""
        self.frames: list[Frame] = []
        self.fault: FrameError | None = None
        self.lost = False

    @property
    def error(self) -> Body:
        return msgspec.json.decode(self.raw)

    @property
    def events(self) -> list[tuple[str, Any]]:
        normal = (frame for frame in self.frames if frame.headers[":message-type"] == "event")
        return [(str(frame.headers[":event-type"]), msgspec.json.decode(frame.payload)) for frame in normal]

    def payloads(self, name: str) -> list[Any]:
        return [payload for event, payload in self.events if event == name]

    @property
    def text(self) -> str:
        return "".join(payload["content"] for payload in self.payloads("assistantResponseEvent"))


class Caller:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def ask(self, text: str, form: str = "rest") -> Seen:
        return await self.send(a_body(text), form)

    async def send(self, body: object, form: str = "rest", headers: dict[str, str] | None = None) -> Seen:
        raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
        target = "AmazonCodeWhispererStreamingService.GenerateAssistantResponse"
        path = "/generateAssistantResponse" if form == "rest" else "/"
        extra = {} if form == "rest" else {"X-Amz-Target": target}
        async with self.session.post(self.url + path, data=raw, headers={**extra, **(headers or {})}) as response:
            seen = Seen(response.status, {name.lower(): value for name, value in response.headers.items()})
            try:
                async for chunk in response.content.iter_any():
                    seen.raw += chunk
            except aiohttp.ClientError:
                seen.lost = True
        if seen.status == 200:
            decoder = FrameDecoder()
            seen.frames = decoder.feed(seen.raw)
            seen.fault = decoder.finish()
        return seen

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        async with self.session.get(self.url + path, params=query) as response:
            return response.status, msgspec.json.decode(await response.read())

    async def post(self, path: str, body: object, target: str | None = None) -> tuple[int, Any]:
        headers = {"X-Amz-Target": target} if target else {}
        async with self.session.post(self.url + path, data=msgspec.json.encode(body), headers=headers) as response:
            return response.status, msgspec.json.decode(await response.read())


def a_body(text: str, history: list[Body] | None = None, **context: Any) -> Body:
    """The smallest request that the service takes, and more where a test wants it."""
    message: Body = {"content": text}
    if context:
        message["userInputMessageContext"] = context
    state = {"chatTriggerType": "MANUAL", "conversationId": "c-1", "currentMessage": {"userInputMessage": message}}
    return {"conversationState": {**state, **({"history": history} if history else {})}}


def a_tool(name: str, **properties: Any) -> Body:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"toolSpecification": {"name": name, "description": "d", "inputSchema": {"json": schema}}}
