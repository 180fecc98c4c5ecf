"""Content blocks of every kind, and where they may stand."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from messages import ask

from cw_proxy import errors
from cw_proxy.model import DocumentPart, ImageLink, ImagePart, Message, Part, TextPart, ToolResultPart, ToolUsePart

PNG = b"\x89PNG\r\n\x1a\n and more"


def encoded(data: bytes, media_type: str = "image/jpeg") -> dict[str, Any]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


def parts(role: str, *blocks: Any) -> tuple[Part, ...]:
    [message] = ask(messages=[{"role": role, "content": list(blocks)}]).request.messages
    assert message.role == role
    return message.parts


USER: list[tuple[dict[str, Any], list[Part]]] = [
    ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, [TextPart("a")]),
    ({"text": "a"}, [TextPart("a")]),
    ({"type": "image", "source": encoded(PNG)}, [ImagePart("png", PNG)]),
    (
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        [ImageLink("https://example.org/a.png", "messages[0].content[0].source.url")],
    ),
    (
        {"type": "image", "source": {"type": "url", "url": "data:image/png;base64," + encoded(PNG)["data"]}},
        [ImagePart("png", PNG)],
    ),
    (
        {"type": "document", "source": encoded(b"%PDF-1", "application/pdf"), "title": "a.pdf", "context": "c"},
        [TextPart("c"), DocumentPart("a.pdf", "pdf", b"%PDF-1")],
    ),
    ({"type": "document", "source": encoded(b"a,b", "text/csv")}, [DocumentPart("document", "csv", b"a,b")]),
    ({"type": "document", "source": encoded(PNG)}, [ImagePart("png", PNG)]),
    (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}, "title": "t"},
        [TextPart("t\n\nd")],
    ),
    ({"type": "document", "source": {"type": "content", "content": "d"}}, [TextPart("d")]),
    (
        {
            "type": "document",
            "title": "t",
            "source": {
                "type": "content",
                "content": [{"type": "text", "text": "d"}, {"type": "image", "source": encoded(PNG)}],
            },
        },
        [TextPart("t"), TextPart("d"), ImagePart("png", PNG)],
    ),
    (
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "d"}]},
        [TextPart("t\n\ns\n\nd")],
    ),
    ({"type": "tool_result", "tool_use_id": "1"}, [ToolResultPart("1", "")]),
    ({"type": "tool_result", "tool_use_id": "1", "content": "a"}, [ToolResultPart("1", "a")]),
    (
        {
            "type": "tool_result",
            "tool_use_id": "1",
            "is_error": True,
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image", "source": encoded(PNG)},
                {"type": "text", "text": "b"},
            ],
        },
        [ToolResultPart("1", "a\n\nb", is_error=True), ImagePart("png", PNG)],
    ),
    (
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "tool_reference", "tool_name": "n"}]},
        [ToolResultPart("1", "The tool n is available.")],
    ),
]
ASSISTANT: list[tuple[dict[str, Any], list[Part]]] = [
    ({"type": "text", "text": "a", "citations": [{"type": "char_location"}]}, [TextPart("a")]),
    ({"type": "tool_use", "id": "1", "name": "n", "input": {"a": 1}}, [ToolUsePart("1", "n", {"a": 1})]),
    ({"type": "tool_use", "id": "1", "name": "n", "input": None}, [ToolUsePart("1", "n", {})]),
    ({"type": "thinking", "thinking": "t", "signature": "s"}, []),
    ({"type": "redacted_thinking", "data": "d"}, []),
    ({"type": "compaction", "content": "before"}, [TextPart("before")]),
    ({"type": "compaction", "content": None}, []),
    (
        {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "q"}},
        [TextPart('[web_search] {"query":"q"}')],
    ),
    (
        {
            "type": "web_search_tool_result",
            "tool_use_id": "1",
            "content": [{"type": "web_search_result", "title": "t", "url": "u", "encrypted_content": "e"}],
        },
        [TextPart("[web_search_tool_result] t u")],
    ),
    (
        {"type": "code_execution_tool_result", "tool_use_id": "1", "content": {"stdout": "o"}},
        [TextPart('[code_execution_tool_result] {"stdout":"o"}')],
    ),
    (
        {"type": "mcp_tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "m"}]},
        [TextPart("[mcp_tool_result] m")],
    ),
]


@pytest.mark.parametrize(("block", "wanted"), USER)
def test_blocks_of_users(block: dict[str, Any], wanted: list[Part]) -> None:
    assert parts("user", block) == tuple(wanted)


@pytest.mark.parametrize(("block", "wanted"), ASSISTANT)
def test_blocks_of_the_assistant(block: dict[str, Any], wanted: list[Part]) -> None:
    assert parts("assistant", block) == tuple(wanted)


def test_order_is_kept() -> None:
    blocks = [USER[0][0], {"type": "tool_result", "tool_use_id": "1", "content": "r"}, USER[2][0]]
    assert parts("user", *blocks) == (TextPart("a"), ToolResultPart("1", "r"), ImagePart("png", PNG))


def test_plain_texts_and_systems_in_the_middle() -> None:
    messages = [{"role": "user", "content": ""}, {"role": "system", "content": [{"type": "text", "text": "s"}]}]
    asked = ask(messages=[*messages, {"role": "assistant", "content": "a"}])
    assert asked.request.messages == (
        Message("user", (TextPart(""),)),
        Message("system", (TextPart("s"),)),
        Message("assistant", (TextPart("a"),)),
    )


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("user", {"type": "video"}, "type"),
    ("user", {"type": "container_upload", "file_id": "f"}, "type"),
    ("user", {"type": "text"}, "text"),
    ("user", {"type": "image"}, "source"),
    ("user", {"type": "image", "source": {"type": "file", "file_id": "f"}}, "source.type"),
    ("user", {"type": "image", "source": {"type": "base64", "data": "????"}}, "source.data"),
    ("user", {"type": "image", "source": {"type": "base64"}}, "source.data"),
    ("user", {"type": "image", "source": encoded(b"%PDF-1")}, "source.data"),
    ("user", {"type": "image", "source": {"type": "url", "url": "data:image/png,x"}}, "source.url"),
    ("user", {"type": "document", "source": {"type": "url", "url": "https://example.org/a.pdf"}}, "source.type"),
    ("user", {"type": "document", "source": encoded(b"\0")}, "source.data"),
    ("user", {"type": "tool_use", "id": "1", "name": "n", "input": {}}, "type"),
    ("user", {"type": "tool_result", "content": "a"}, "tool_use_id"),
    ("user", {"type": "tool_result", "tool_use_id": "1", "content": {"a": 1}}, "content"),
    ("assistant", {"type": "tool_result", "tool_use_id": "1"}, "type"),
    ("assistant", {"type": "image", "source": encoded(PNG)}, "type"),
    ("assistant", {"type": "tool_use", "name": "n", "input": {}}, "id"),
    ("assistant", {"type": "tool_use", "id": "1", "input": {}}, "name"),
    ("assistant", {"type": "tool_use", "id": "1", "name": "n", "input": "{}"}, "input"),
    ("system", {"type": "image", "source": encoded(PNG)}, "type"),
]


@pytest.mark.parametrize(("role", "block", "place"), REFUSED)
def test_what_is_refused_names_its_place(role: str, block: dict[str, Any], place: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        parts(role, block)
    assert (raised.value.status, raised.value.param) == (400, f"messages[0].content[0].{place}")
