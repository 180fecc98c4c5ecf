"""Turns go in, messages come out that OpenAI's own types accept."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter
from strategies import json_objects, said, say, texts, tool_names

from cw_proxy.backends.openai_upstream.messages import FAILED, chat_messages
from cw_proxy.model import DocumentPart, ImageLink, ImagePart, Message, TextPart, ToolResultPart, ToolUsePart

PNG = b"\x89PNG\r\n\x1a\n..."
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()}}


def user(*parts: Any) -> Message:
    return Message("user", parts)


def use(identity: str = "x", **arguments: Any) -> ToolUsePart:
    return ToolUsePart(identity, "ls", arguments)


def tool(identity: str, content: str) -> dict[str, str]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def test_text_is_one_string_in_every_role() -> None:
    chat = [say("system", "a", "b"), say("user", "c", "d"), say("assistant", "e"), Message("user", ())]
    assert chat_messages(chat) == [
        {"role": "system", "content": "a\n\nb"},
        {"role": "user", "content": "c\n\nd"},
        {"role": "assistant", "content": "e"},
        {"role": "user", "content": ""},
    ]


def test_turns_of_one_role_stay_apart_and_in_their_places() -> None:
    chat = [say("user", "a"), say("user", "b"), say("system", "c"), say("assistant", "d"), say("assistant", "e")]
    assert [message["content"] for message in chat_messages(chat)] == ["a", "b", "c", "d", "e"]


def test_pictures_links_and_files_stand_in_a_list() -> None:
    parts = (
        TextPart("a"),
        ImagePart("png", PNG),
        ImageLink("https://x.example/y.png", "p"),
        DocumentPart("n", "pdf", b"%"),
    )
    (message,) = chat_messages([user(*parts)])
    assert message["content"] == [
        {"type": "text", "text": "a"},
        PICTURE,
        {"type": "image_url", "image_url": {"url": "https://x.example/y.png"}},
        {"type": "file", "file": {"filename": "n", "file_data": "data:application/pdf;base64,JQ=="}},
    ]


def test_calls_and_results() -> None:
    chat = [Message("assistant", (TextPart("Let me."), use("x", a="é"), use("y"))), user(ToolResultPart("x", "1"))]
    assert chat_messages(chat) == [
        {
            "role": "assistant",
            "content": "Let me.",
            "tool_calls": [
                {"id": "x", "type": "function", "function": {"name": "ls", "arguments": '{"a":"é"}'}},
                {"id": "y", "type": "function", "function": {"name": "ls", "arguments": "{}"}},
            ],
        },
        tool("x", "1"),
    ]
    assert chat_messages([Message("assistant", (use(),))])[0]["content"] is None


def test_a_failed_tool_is_said_to_have_failed() -> None:
    results = user(ToolResultPart("x", "No such file.", is_error=True), ToolResultPart("y", "", is_error=True))
    assert chat_messages([results]) == [tool("x", f"{FAILED}\n\nNo such file."), tool("y", FAILED)]


def test_results_come_before_pictures_and_text_also_of_the_turn_before() -> None:
    chat = [
        Message("assistant", (use("x"), use("y"))),
        user(ToolResultPart("x", "1"), ImagePart("png", PNG)),
        user(ToolResultPart("y", "2")),
        user(TextPart("And?")),
    ]
    assert chat_messages(chat)[1:] == [
        tool("x", "1"),
        tool("y", "2"),
        {"role": "user", "content": [PICTURE]},
        {"role": "user", "content": "And?"},
    ]


parts = st.one_of(
    st.builds(TextPart, said),
    st.builds(ImagePart, st.sampled_from(["png", "gif"]), st.binary(max_size=4)),
    st.builds(ImageLink, texts, st.just("p")),
    st.builds(DocumentPart, texts, st.sampled_from(["pdf", "md", "other"]), st.binary(max_size=4)),
    st.builds(ToolResultPart, texts, said, st.booleans()),
)
uses = st.builds(ToolUsePart, texts, tool_names, json_objects)
turns = st.one_of(
    st.builds(Message, st.just("user"), st.lists(parts, max_size=4).map(tuple)),
    st.builds(Message, st.just("assistant"), st.lists(uses | st.builds(TextPart, said), max_size=4).map(tuple)),
    st.builds(Message, st.just("system"), st.lists(st.builds(TextPart, said), max_size=2).map(tuple)),
)
OFFICIAL: TypeAdapter[Any] = TypeAdapter(ChatCompletionMessageParam)


@given(st.lists(turns, max_size=6))
def test_any_chat_has_the_official_types_and_loses_nothing(chat: list[Message]) -> None:
    made = chat_messages(chat)
    for message in made:
        OFFICIAL.validate_python(message, strict=True)
    written = json.dumps(made, ensure_ascii=False)
    for part in (part for turn in chat for part in turn.parts):
        match part:
            case TextPart(text=text) | ToolResultPart(text=text):
                assert json.dumps(text, ensure_ascii=False)[1:-1] in written
            case ToolUsePart():
                calls = [call for message in made for call in message.get("tool_calls", ())]
                assert any(
                    (call["id"], json.loads(call["function"]["arguments"])) == (part.id, part.input) for call in calls
                )
            case ImagePart() | DocumentPart():
                assert base64.b64encode(part.data).decode() in written
            case ImageLink():
                assert json.dumps(part.url, ensure_ascii=False) in written


def test_calls_in_turns_in_a_row_are_answered_together() -> None:
    calls = [Message("assistant", (TextPart(name), ToolUsePart(name, "t", {}))) for name in ("a", "b")]
    results = [Message("user", (ToolResultPart(name, "r"),)) for name in ("a", "b")]
    assistant, *tools = chat_messages([*calls, *results])
    assert assistant["content"] == "a\n\nb"
    assert [call["id"] for call in assistant["tool_calls"]] == [tool["tool_call_id"] for tool in tools] == ["a", "b"]
