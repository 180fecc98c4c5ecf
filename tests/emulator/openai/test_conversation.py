"""A body goes in; turns and tools come out, as the other service's body would give them."""

from __future__ import annotations

from cw_proxy.emulator.conversation import Conversation, Image, Tool, Turn
from cw_proxy.emulator.openai.conversation import read_conversation, text_of

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}}
LS = {"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}


def test_turns() -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "tool_call_id": "x", "content": "1"},
        {"role": "tool", "tool_call_id": "y", "content": [{"type": "text", "text": "2"}]},
        {"role": "user", "content": "c"},
    ]
    found = read_conversation({"messages": messages, "tools": [LS]})
    assert found == Conversation(
        (
            Turn("user", "s"),
            Turn("user", "a\n\nb", (Image("png", 5, "2cf24dba5fb0"),)),
            Turn("assistant", ""),
            Turn("user", "", results=("1", "2")),
            Turn("user", "c"),
        ),
        (Tool("ls", {"type": "object"}),),
    )


def test_without_a_choice_there_are_no_tools() -> None:
    assert read_conversation({"tools": [LS], "tool_choice": "none"}).tools == ()


def test_anything_is_read() -> None:
    assert read_conversation({"messages": [5, {"role": "user", "content": [PICTURE | {"image_url": {"url": "x,y"}}]}]})
    assert text_of(None) == ""
