"""A WebSocket's events on a real server's parts and an emulator; the way to AWS is a value that a test looks at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import PATIENCE, proxy, until

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.errors import AnswerTooLarge, ConfigError, UpstreamUnavailable
from cw_proxy.guard import Guard
from cw_proxy.protocols.prompt_socket import END, PromptSocket
from cw_proxy.record import Entry, Recorder
from cw_proxy.secret import Secret
from cw_proxy.transports.lambda_in.sockets import Sockets, messages
from cw_proxy.wire.socket_event import MAX_FRAME, MAX_MESSAGE, Connect, Disconnect, Message, Turn, parse

URL = "https://d.example/s"
KEYS = Guard.of([], ["https://page.example"], [Secret("a-key")])
OPEN = Guard.of([], [], [])


class Aws:
    """`statuses` are what posts get, the last one from then on."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses) or [200]
        self.posted: list[str] = []
        self.invoked: list[bytes] = []
        self.renewed = 0
        self.waiting = False
        self.gate: asyncio.Event | None = None
        self.refusal: Exception | None = None
        self.broken: Exception | None = None

    async def post(self, endpoint: str, connection: str, data: bytes) -> int:
        if self.broken:
            raise self.broken
        if isinstance(self.refusal, ConfigError):
            raise self.refusal
        assert (endpoint, connection) == (URL, "id")
        if self.gate is not None:
            self.waiting = True
            await self.gate.wait()
        self.posted.append(data.decode())
        await asyncio.sleep(0)
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def renew(self) -> None:
        self.renewed += 1

    async def invoke(self, payload: bytes) -> None:
        if self.refusal:
            raise self.refusal
        self.invoked.append(payload)

    @property
    def code(self) -> str:
        [one] = self.posted
        return str(json.loads(one)["error"]["code"])


class Function:
    def __init__(self, app: App, aws: Aws, entries: list[Entry], **settings: Any) -> None:
        self.aws, self.entries = aws, entries
        begin = Recorder([entries.append]).begin
        made = {"server": app.endpoints, "protocol": PromptSocket(app.options), "guard": KEYS, "gateway": aws}
        self.sockets = Sockets(**{**made, "begin": lambda id: begin(id, "WS"), **settings})

    async def answer(self, event: Any, seconds: float = PATIENCE) -> dict[str, Any]:
        until = asyncio.get_running_loop().time() + seconds
        answer: dict[str, Any] = json.loads(await self.sockets.answer(event, "an-id", until))
        return answer


@asynccontextmanager
async def function(
    emulator: Emulator, *statuses: int, limits: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Function]:
    async with proxy(emulator, prompt_socket=True, **(limits or {})) as app:
        yield Function(app, Aws(*statuses), [], **settings)


def question(text: str, answer: str = "full") -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], "response_type": answer}).encode()


def message(text: str, answer: str = "full") -> Message:
    return Message("id", "203.0.113.9", URL, question(text, answer))


def turn(text: str, answer: str = "full") -> Turn:
    return Turn("id", "203.0.113.9", URL, question(text, answer))


@pytest.mark.parametrize(
    ("guard", "headers", "identified", "status"),
    [
        (KEYS, {"authorization": "Bearer a-key"}, False, 200),
        (KEYS, {"x-api-key": "a-key"}, False, 200),
        (KEYS, {"x-api-key": "a-key", "origin": "https://page.example"}, False, 200),
        (KEYS, {"x-api-key": "a-key", "origin": "https://other.example"}, False, 403),
        (KEYS, {"x-api-key": "another"}, True, 401),
        (KEYS, {}, True, 401),
        (OPEN, {}, True, 200),
        (OPEN, {}, False, 401),
    ],
)
async def test_who_may_connect(
    emulator: Emulator, guard: Guard, headers: dict[str, str], identified: bool, status: int
) -> None:
    async with function(emulator, guard=guard) as one:
        assert (await one.answer(Connect("id", "203.0.113.9", headers, identified)))["statusCode"] == status
        assert (await one.answer(Disconnect("id")))["statusCode"] == 200
        assert one.aws.posted == []


async def test_a_message_is_acknowledged_and_a_run_of_its_own_answers(emulator: Emulator) -> None:
    async with function(emulator) as one:
        asked = message("Count from 1 to 5", "stream")
        assert (await one.answer(asked))["statusCode"] == 200
        assert one.aws.posted == []
        [payload] = one.aws.invoked
        assert (await one.answer(parse(payload)))["statusCode"] == 200
        assert "".join(one.aws.posted) == "1 2 3 4 5<END>"
        [entry] = one.entries
        assert (entry.id, entry.method, entry.route, entry.outcome, entry.stream) == ("an-id", "WS", "/ws", "ok", True)


async def test_inline_the_same_run_answers(emulator: Emulator) -> None:
    async with function(emulator, mode="inline", endpoint=URL) as one:
        asked = Message("id", "", "https://not.used/s", question("Count from 1 to 5"))
        await one.answer(asked)
        assert (one.aws.posted, one.aws.invoked) == (["1 2 3 4 5"], [])


@pytest.mark.parametrize(
    ("body", "code"), [(b"no JSON", "invalid_json"), (b'{"messages": [], "response_type": "full"}', "invalid_value")]
)
async def test_what_cannot_be_answered_is_told_at_once(emulator: Emulator, body: bytes, code: str) -> None:
    async with function(emulator) as one:
        assert (await one.answer(Message("id", "", URL, body)))["statusCode"] == 200
        assert (one.aws.code, one.aws.invoked) == (code, [])
        [entry] = one.entries
        assert (entry.id, entry.route, entry.outcome, entry.status) == ("an-id", "/ws", code, 101)


async def test_what_lambda_does_not_take_is_told(emulator: Emulator) -> None:
    async with function(emulator) as one:
        one.aws.refusal = UpstreamUnavailable("Lambda did not take the question (status 500).")
        await one.answer(message("hello"))
        assert one.aws.code == one.entries[0].outcome == "upstream_unavailable"
        one.aws.refusal = ConfigError("There are no AWS credentials here, or no region.")
        assert (await one.answer(message("hello")))["statusCode"] == 200


ENDLESS = [{"repeat": 1000, "steps": [{"text": "more ", "piece": 5}, {"delay": 0.01}]}]


@pytest.mark.parametrize("status", [410, 403, 413, 500, 0])
async def test_what_does_not_arrive_ends_the_answer(emulator: Emulator, status: int) -> None:
    """A client that is gone is told nothing; one that may be there is told that a part is missing."""
    emulator.scripts["endless"] = ENDLESS
    async with function(emulator, 200, status) as one:
        assert (await one.answer(turn("Play the script endless", "stream")))["statusCode"] == 200
        first, second, *last = one.aws.posted
        assert (first, second) == ("more ", "more ")
        assert [json.loads(post)["error"]["code"] for post in last] == ([] if status == 410 else ["undelivered"])
        await until(lambda: emulator.stats.cancelled_by_client == 1, "the upstream sees that we have left")
        assert one.entries[0].outcome == ("client_gone" if status == 410 else "undelivered")


async def test_a_fault_of_ours_is_told_and_not_repeated(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    async with function(emulator) as one:
        one.aws.refusal = KeyError("canary")
        assert (await one.answer(message("hello")))["statusCode"] == 200
        assert one.aws.code == "internal_error"
        assert caplog.messages == ["a run failed: KeyError"]
        assert one.entries[0].outcome == "internal_error"
        assert one.aws.renewed == 1


@pytest.mark.parametrize("event", [Turn("id", "", URL, b"no JSON"), Message("id", "", URL, b"no JSON")])
async def test_a_fault_in_a_post_is_not_repeated(
    emulator: Emulator, event: Turn | Message, caplog: pytest.LogCaptureFixture
) -> None:
    async with function(emulator) as one:
        one.aws.broken = KeyError("canary")
        assert (await one.answer(event))["statusCode"] == 200
        assert set(caplog.messages) == {"a message to a client is lost: KeyError"}
        assert [entry.outcome for entry in one.entries] == ["invalid_json"]


@pytest.mark.parametrize("event", [Turn("id", "", URL, b"no JSON"), Message("id", "", URL, b"no JSON")])
async def test_while_there_is_time_the_last_message_is_waited_for(emulator: Emulator, event: Turn | Message) -> None:
    """The first post of a process takes a second on a small function: boto3 is imported with it."""
    async with function(emulator) as one:
        one.aws.gate = asyncio.Event()
        answering = asyncio.create_task(one.answer(event))
        await until(lambda: one.aws.waiting, "the post is under way")
        asyncio.get_running_loop().call_later(1.0, one.aws.gate.set)
        await answering
        assert one.aws.code


async def test_what_is_under_way_at_the_deadline_comes_before_the_end(emulator: Emulator) -> None:
    emulator.scripts["endless"] = ENDLESS
    for opens_in_time in (True, False):
        async with function(emulator) as one:
            one.aws.gate = asyncio.Event()
            answering = asyncio.create_task(one.answer(turn("Play the script endless", "stream"), seconds=0.1))
            await until(lambda: one.aws.waiting, "the first post is under way")
            if opens_in_time:
                asyncio.get_running_loop().call_later(0.2, one.aws.gate.set)
            await answering
            if opens_in_time:
                first, last = one.aws.posted
                assert (first, json.loads(last)["error"]["code"]) == ("more ", "time_is_up")
            else:
                # What was begun is not gone on with in a later run, between that one's messages.
                one.aws.gate.set()
                await asyncio.sleep(0.1)
                assert one.aws.posted == []


async def test_a_last_message_that_comes_too_late_is_given_up(emulator: Emulator) -> None:
    async with function(emulator) as one:
        one.aws.gate = asyncio.Event()
        await one.answer(turn("Play the script hang"), seconds=0.1)
        assert one.aws.waiting
        one.aws.gate.set()
        await asyncio.sleep(0.1)
        assert one.aws.posted == []


async def test_a_run_that_is_stopped_is_not_recorded_as_whole(emulator: Emulator) -> None:
    emulator.scripts["endless"] = ENDLESS
    async with function(emulator) as one:
        one.aws.gate = asyncio.Event()
        answering = asyncio.create_task(one.answer(turn("Play the script endless", "stream")))
        await until(lambda: one.aws.waiting, "a post is under way")
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert [entry.outcome for entry in one.entries] == ["client_gone"]
        one.aws.gate.set()
        await until(lambda: emulator.stats.cancelled_by_client == 1, "the upstream sees that we have left")


async def test_what_breaks_off_ends_with_an_error(emulator: Emulator) -> None:
    async with function(emulator) as one:
        await one.answer(turn("Play the script exception", "stream"))
        assert json.loads(one.aws.posted[-1])["error"]
        assert "".join(one.aws.posted[:-1])


async def test_the_functions_time_is_the_answers(emulator: Emulator) -> None:
    async with function(emulator) as one:
        await one.answer(turn("Play the script hang"), seconds=0.1)
        assert one.aws.code == "time_is_up"
        assert one.entries[0].outcome == "time_is_up"


async def test_each_connection_is_counted(emulator: Emulator) -> None:
    async with function(emulator, limits={"rate_limit_max": 1}) as one:
        await one.answer(message("hello"))
        await one.answer(message("hello"))
        assert len(one.aws.invoked) == 1
        assert json.loads(one.aws.posted[0])["error"]["type"] == "rate_limit_error"
        assert [entry.outcome for entry in one.entries] == [one.aws.code]


# --- sizes ------------------------------------------------------------------------------------------------


def test_one_message_has_a_limit_and_a_streams_are_cut() -> None:
    largest = b"x" * MAX_MESSAGE
    assert list(messages(largest, stream=False)) == [largest]
    with pytest.raises(AnswerTooLarge):
        messages(largest + b"x", stream=False)
    assert [len(one) for one in messages(largest, stream=True)] == [MAX_FRAME] * 4


@given(st.text(max_size=20), st.sampled_from([END, '{"error"', '{"error":1}']), st.text(max_size=20))
def test_no_later_piece_of_a_stream_is_the_end_or_an_error(before: str, odd: str, after: str) -> None:
    text = before + "x" * (MAX_FRAME - len(before.encode())) + odd + after
    first, *others = messages(text.encode(), stream=True)
    assert b"".join([first, *others]) == text.encode()
    assert not any(one == END.encode() or one.startswith(b'{"error"') for one in others)
