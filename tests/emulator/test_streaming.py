"""From a request to a played answer, over HTTP."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from emulator_client import Body, Caller, a_body, a_tool

from cw_proxy.emulator import Emulator
from cw_proxy.emulator.decision import NO_DIRECTIVE
from cw_proxy.emulator.streaming import operation_of

FORMS = ("rest", "aws-json")


@pytest.mark.parametrize("form", FORMS)
async def test_an_answer_and_its_headers(emulator: Emulator, caller: Caller, form: str) -> None:
    seen = await caller.ask("count from 1 to 20", form)
    assert seen.text == " ".join(map(str, range(1, 21)))
    assert [name for name, _ in seen.events[-2:]] == ["contextUsageEvent", "meteringEvent"]
    assert seen.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert seen.headers["x-amzn-requestid"]
    assert seen.headers.get("x-amzn-codewhisperer-conversation-id") == ("c-1" if form == "rest" else None)
    assert (emulator.stats.requests, emulator.stats.completed, emulator.stats.in_flight) == (1, 1, 0)
    assert emulator.stats.last_body == a_body("count from 1 to 20")
    assert emulator.stats.last_headers["authorization"] == "Bearer ***"


async def test_send_message_too(caller: Caller) -> None:
    path = caller.url + "/SendMessageStreaming"
    async with caller.session.post(path, json=a_body("count from 1 to 2")) as response:
        assert response.status == 200
        assert b"1 2" in await response.read()


async def test_without_a_directive(caller: Caller) -> None:
    assert (await caller.ask("hello")).text == NO_DIRECTIVE


async def test_a_tool_call(caller: Caller) -> None:
    body = a_body("what is the weather in Paris", tools=[a_tool("get_weather", city={"type": "string"})])
    uses = (await caller.send(body)).payloads("toolUseEvent")
    assert uses[0] == {"toolUseId": uses[0]["toolUseId"], "name": "get_weather"}
    assert "".join(use.get("input", "") for use in uses) == '{"city": "Paris"}'
    assert uses[-1]["stop"] is True


async def test_faults_and_breaks(emulator: Emulator, caller: Caller) -> None:
    statuses = [(await caller.ask("fault 429 times 2 id f")).status for _ in range(3)]
    assert statuses == [429, 429, 200]
    broken = await caller.ask("count from 1 to 99 and break the stream after 3 pieces by drop")
    assert (broken.lost, len(broken.text)) == (True, 21)
    failed = await caller.ask("count from 1 to 99 and break the stream after 3 pieces by error")
    assert failed.frames[-1].headers[":exception-type"] == "error"
    assert (emulator.stats.refused, emulator.stats.cancelled_by_client) == (2, 0)


async def test_scripts(emulator: Emulator, caller: Caller) -> None:
    emulator.scripts["mine"] = [{"headers": {"x-mine": "1"}}, {"text": "as told"}, {"tail": False}]
    seen = await caller.ask("please play the script mine.")
    assert (seen.text, seen.headers["x-mine"], len(seen.events)) == ("as told", "1", 1)
    emulator.settings.default_script = "mine"
    assert (await caller.ask("anything")).text == "as told"
    unknown = await caller.ask("play the script nothing-of-this-name")
    assert (unknown.status, unknown.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")


async def test_refusals_are_explained_to_developers_only(emulator: Emulator, caller: Caller) -> None:
    seen = await caller.ask(" ")
    assert seen.error == {
        "__type": "com.amazon.aws.codewhisperer#ValidationException",
        "message": "Improperly formed request.",
    }
    assert "blank" in str(emulator.stats.last_rejection)
    emulator.settings.check_requests = False
    assert (await caller.ask(" ")).status == 200


async def test_a_client_that_leaves_is_noticed(emulator: Emulator, caller: Caller) -> None:
    response = await caller.session.post(caller.url + "/generateAssistantResponse", json=a_body("play the script hang"))
    await response.content.readany()
    assert emulator.stats.in_flight == 1
    response.close()
    async with asyncio.timeout(10):
        await emulator.until(lambda stats: not stats.in_flight)
    assert (emulator.stats.cancelled_by_client, emulator.stats.completed) == (1, 0)


def test_operation_of() -> None:
    prefix = "AmazonCodeWhispererStreamingService."
    assert operation_of(prefix + "SendMessage") == "SendMessage"
    assert operation_of(prefix + "Other") is None
    assert operation_of("SendMessage") is None


async def test_connections_are_counted(emulator: Emulator, caller: Caller) -> None:
    for _ in range(3):
        await caller.ask("count from 1 to 3")
    assert (emulator.stats.connections, emulator.stats.requests) == (1, 3)
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as session:
        await Caller(session, emulator.url).ask("count from 1 to 3")
    assert emulator.stats.connections == 2


async def test_a_model_that_takes_fields_of_its_own(caller: Caller) -> None:
    def body(**fields: object) -> Body:
        asked = a_body("count from 1 to 50")
        asked["conversationState"]["currentMessage"]["userInputMessage"]["modelId"] = "claude-opus-4.5"
        return {**asked, "additionalModelRequestFields": fields}

    cut = await caller.send(body(max_tokens=3))
    assert cut.text == "1 2 3 4 5 6 "
    assert cut.payloads("metadataEvent") == [{"stopReason": "MAX_TOKENS"}]
    thought = await caller.send(body(thinking={"type": "adaptive"}, output_config={"effort": "low"}))
    assert [list(payload) for payload in thought.payloads("reasoningContentEvent")][-1] == ["signature"]
    assert thought.text.endswith(" 50")
    assert (await caller.send(body(temperature=1))).status == 400
