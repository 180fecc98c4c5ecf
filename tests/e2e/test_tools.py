"""Tools and images, by the official client against the emulator in this process, both strict about what they take."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from cw_proxy.app import App
from cw_proxy.emulator import Emulator

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, schema: Any = CITY, description: str = "What it is for.") -> Any:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def tool_result(call: Any, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call.id, "content": text}


@pytest.fixture
async def client(app: App) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{app.url}/v1", api_key="dummy", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


class Chat:
    """A chat that grows; each answer is asked for whole or streamed and folded by the client."""

    def __init__(self, client: AsyncOpenAI, stream: bool) -> None:
        self._client = client
        self._stream = stream
        self.messages: list[Any] = []

    async def say(self, *messages: Any, **members: Any) -> Any:
        self.messages += messages
        asked = {"model": "auto", "messages": self.messages, **members}
        if self._stream:
            async with self._client.chat.completions.stream(**asked) as stream:
                [choice] = (await stream.get_final_completion()).choices
        else:
            [choice] = (await self._client.chat.completions.create(**asked)).choices
        kept = {"content", "role", "tool_calls"}
        self.messages.append(choice.message.model_dump(include=kept, exclude_none=True, exclude={"parsed"}))
        return choice


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def chat(client: AsyncOpenAI, request: pytest.FixtureRequest) -> Chat:
    return Chat(client, request.param)


def called(choice: Any) -> list[tuple[str, Any]]:
    assert choice.finish_reason == "tool_calls"
    return [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]


@pytest.mark.parametrize("name", ["get_weather", "mcp.weather/get", "weather_" + "x" * 80, "Wetter ü weather"])
async def test_a_round_trip(chat: Chat, name: str) -> None:
    tools = [tool(name), tool("other", {"anyOf": [CITY, {"properties": {"zip": {"type": "string"}}}]})]
    choice = await chat.say(user("What is the weather in Oslo?"), tools=tools)
    assert called(choice) == [(name, {"city": "Oslo"})]
    choice = await chat.say(tool_result(choice.message.tool_calls[0], "sunny, 21 °C"), tools=tools)
    assert (choice.message.content, choice.finish_reason) == ("done: sunny, 21 °C", "stop")


async def test_two_equal_calls_stay_two(chat: Chat) -> None:
    choice = await chat.say(user("Play the script tools-identical"), tools=[tool("get_weather")])
    assert called(choice) == [("get_weather", {"city": "Paris"})] * 2
    one, two = choice.message.tool_calls
    assert one.id != two.id
    choice = await chat.say(tool_result(two, "b"), tool_result(one, "a"), user("Reply with exactly the token PONG"))
    assert choice.message.content == "PONG"


async def test_interleaved_calls_are_told_apart(chat: Chat) -> None:
    tools = [tool("get_weather"), tool("get_time")]
    choice = await chat.say(user("Play the script tools-interleaved"), tools=tools)
    assert [arguments for _, arguments in called(choice)] == [{"city": "Paris"}, {"zone": "CET"}]


async def test_arguments_stream_as_they_come(client: AsyncOpenAI) -> None:
    city = "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch"
    stream = await client.chat.completions.create(
        model="auto", messages=[user(f"What is the weather in {city}?")], tools=[tool("weather")], stream=True
    )
    deltas = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
    assert (deltas[0].function.name, deltas[0].function.arguments) == ("weather", "")
    fragments = [delta.function.arguments for delta in deltas[1:]]
    assert len(fragments) > 2
    assert json.loads("".join(fragments)) == {"city": city}
    assert {delta.index for delta in deltas} == {0}


async def test_properties_with_names_of_any_length(chat: Chat) -> None:
    long = "city_" + "x" * 80
    schema = {"type": "object", "properties": {long: {"type": "string"}}, "required": [long]}
    choice = await chat.say(user("What is the weather in Oslo?"), tools=[tool("weather", schema)])
    assert called(choice) == [("weather", {long: "Oslo"})]
    choice = await chat.say(tool_result(choice.message.tool_calls[0], "x"), tools=[tool("weather", schema)])
    assert choice.message.content == "done: x"


@pytest.mark.parametrize("script", ["tool-without-stop", "tool-bad-json"])
async def test_a_broken_call_is_never_shown_as_whole(chat: Chat, script: str) -> None:
    with pytest.raises(openai.APIError):
        await chat.say(user(f"Play the script {script}"), tools=[tool("get_weather")])


async def test_without_tools_and_with_the_choice_none_nothing_is_called(chat: Chat, emulator: Emulator) -> None:
    tools = [tool("weather")]
    choice = await chat.say(user("What is the weather in Oslo?"), tools=tools)
    await chat.say(tool_result(choice.message.tool_calls[0], "x"), tools=tools)
    for members in ({}, {"tools": []}, {"tools": tools, "tool_choice": "none"}):
        choice = await chat.say(user("What is the weather in Rome?"), **members)
        assert (choice.finish_reason, choice.message.tool_calls or []) == ("stop", [])
    choice = await chat.say(user("What is the weather in Rome?"), tools=tools)
    assert called(choice) == [("weather", {"city": "Rome"})]


async def test_an_image_reaches_the_model_as_what_it_is(chat: Chat) -> None:
    url = f"data:image/jpeg;base64,{base64.b64encode(PNG).decode()}"
    content = [
        {"type": "text", "text": "Describe the attached image"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    choice = await chat.say({"role": "user", "content": content})
    digest = hashlib.sha256(PNG).hexdigest()[:12]
    assert choice.message.content == f"images=1 png/{len(PNG)}/{digest}"


async def test_a_document_is_taken(chat: Chat) -> None:
    file = {"filename": "notes.md", "file_data": "data:text/markdown;base64,IyBhCg=="}
    content = [{"type": "text", "text": "Reply with exactly the token PONG"}, {"type": "file", "file": file}]
    assert (await chat.say({"role": "user", "content": content})).message.content == "PONG"


async def test_forty_turns_with_tools(chat: Chat) -> None:
    tools = [tool("weather", description="long " * 3000), tool("other")]
    cities = ["Oslo", "Rome", "Bern", "Kyiv", "Riga", "Lima", "Baku", "Doha", "Bonn", "Cork"]
    for city in cities:
        choice = await chat.say(user(f"Remember the token T-{city}. What is the weather in {city}?"), tools=tools)
        assert called(choice) == [("weather", {"city": city})]
        choice = await chat.say(tool_result(choice.message.tool_calls[0], f"W-{city}"), tools=tools)
        assert choice.message.content == f"done: W-{city}"
    assert len(chat.messages) == 40
    choice = await chat.say(user("List every remembered token"), tools=tools)
    assert choice.message.content == "remembered: " + ",".join(f"T-{city}" for city in cities)
