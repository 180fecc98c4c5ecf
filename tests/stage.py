"""An exchange with everything around it in memory: what the service answers to each call is a script.

In: answers in order. Out: the events that come of them, the calls that went in. Refuses to know pytest.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from strategies import frame, request, say

from cw_proxy import errors
from cw_proxy.backends.codewhisperer import CodeWhisperer
from cw_proxy.backends.codewhisperer.hosts import Hosts
from cw_proxy.conversations import Conversations
from cw_proxy.events import Event, OrderCheck, Usage
from cw_proxy.exchange import Asker, Exchange
from cw_proxy.filters.references import OnLicensedCode
from cw_proxy.interfaces import Credential
from cw_proxy.model import Request
from cw_proxy.secret import Secret
from cw_proxy.wire.call import HttpCall, HttpReply

HOSTS = Hosts("https://service.example", "https://runtime.example", "us-east-1")
TAIL = frame("contextUsageEvent", {"contextUsagePercentage": 5.0})
TAIL_EVENT = Usage(context_percent=5.0)
PROFILE = "arn:aws:codewhisperer:us-east-1:000000000000:profile/EXAMPLE"
ME = Asker(b"me", {})


def text(content: str) -> bytes:
    return frame("assistantResponseEvent", {"content": content})


class Answer:
    """What the service answers to one call: a body in network reads, which a ProxyError breaks off."""

    def __init__(self, *pieces: bytes | errors.ProxyError, status: int = 200, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pieces = pieces
        self.gate: asyncio.Event | None = None  # the last piece waits for it
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if self.gate is not None and piece is self.pieces[-1]:
                await self.gate.wait()
            if isinstance(piece, errors.ProxyError):
                raise piece
            yield piece


def ok(content: str = "hello") -> Answer:
    return Answer(text(content), TAIL)


def refused(status: int, name: str, message: str = "No.", reason: str | None = None) -> Answer:
    return Answer(json.dumps({"__type": name, "message": message, "reason": reason}).encode(), status=status)


def listed(*ids: str, page: str | None = None) -> Answer:
    return Answer(json.dumps({"models": [{"modelId": name} for name in ids], "nextToken": page}).encode())


def profiles(*arns: str) -> Answer:
    return Answer(json.dumps({"profiles": [{"arn": arn} for arn in arns]}).encode())


class Service:
    """A sender that plays answers in order and keeps the calls."""

    def __init__(self, answers: Sequence[Answer | errors.ProxyError]) -> None:
        self.answers = list(answers)
        self.calls: list[HttpCall] = []

    @asynccontextmanager
    async def __call__(self, call: HttpCall) -> AsyncIterator[HttpReply]:
        self.calls.append(call)
        answer = self.answers.pop(0)
        if isinstance(answer, errors.ProxyError):
            raise answer
        try:
            yield HttpReply(answer.status, answer.headers, answer.chunks())
        finally:
            answer.closed = True

    @property
    def paths(self) -> list[str]:
        return [call.url.partition("example/")[2].partition("?")[0] for call in self.calls]

    def states(self) -> list[dict[str, Any]]:
        return [json.loads(call.body)["conversationState"] for call in self.calls if b"conversationState" in call.body]


class Tokens:
    """Tokens in order: the next one is there once the one before is refused."""

    remedy = "Sign in again."

    def __init__(self, *tokens: str, profile: str | None = None) -> None:
        self.tokens = [*tokens]
        self.profile = profile
        self.refused: list[str] = []

    async def credential(self, *, rejected: Secret | None = None) -> Credential:
        if rejected is not None:
            self.refused.append(rejected.reveal())
            if len(self.tokens) > 1 and rejected == Secret(self.tokens[0]):
                self.tokens.pop(0)
        return Credential(Secret(self.tokens[0]), "us-east-1", self.profile)

    async def remember_profile(self, arn: str) -> None:
        self.profile = arn


class Stage:
    """An exchange with everything around it in memory; time is turned by hand."""

    def __init__(
        self,
        *answers: Answer | errors.ProxyError,
        tokens: Tokens | None = None,
        hosts: Hosts = HOSTS,
        licensed: OnLicensedCode = "flag",
    ) -> None:
        self.service = Service(answers)
        self.tokens = tokens or Tokens("token")
        self.now = 0.0
        self.delays: list[float] = []
        self.ids = iter(f"id-{number}" for number in range(1000))
        self.exchange = Exchange(
            backend=CodeWhisperer(hosts=hosts, origin="CLI", max_body=10_000, opt_out=True),
            send=self.service,
            tokens=self.tokens,
            conversations=Conversations(),
            aliases={"mine": "claude-x"},
            on_licensed_code=licensed,
            now=lambda: self.now,
            new_id=lambda: next(self.ids),
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        self.delays.append(seconds)

    async def run(self, asked: Request | None = None, asker: Asker = ME) -> AsyncGenerator[list[Event], None]:
        plan = await self.exchange.plan(asked or request(say("user", "hello")))
        async with aclosing(self.exchange.run(plan, asker)) as batches:
            async for batch in batches:
                yield batch

    async def batches(self, asked: Request | None = None, asker: Asker = ME) -> list[list[Event]]:
        return [batch async for batch in self.run(asked, asker)]

    async def events(self, asked: Request | None = None, asker: Asker = ME) -> list[Event]:
        events = [event for batch in await self.batches(asked, asker) for event in batch]
        OrderCheck().feed(events)
        return events
