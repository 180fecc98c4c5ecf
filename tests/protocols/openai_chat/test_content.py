"""Content parts of every kind, and where they may stand."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from chat import ask

from cw_proxy import errors
from cw_proxy.model import DocumentPart, ImageLink, ImagePart, Message, Part, TextPart, ToolResultPart


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "a"},
        {"type": "input_text", "text": "a"},
        {"type": "output_text", "text": "a", "annotations": []},
        {"type": "refusal", "refusal": "a"},
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
    ],
)
def test_texts(part: dict[str, Any]) -> None:
    [message] = ask(messages=[{"role": "user", "content": [part]}]).request.messages
    assert message.parts == (TextPart("a"),)


@pytest.mark.parametrize("part", [{"type": "input_audio"}, {"type": "video", "text": "a"}])
def test_other_parts_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidValue) as raised:
        ask(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, part]}])
    assert raised.value.param == "messages[0].content[1].type"


PNG = b"\x89PNG\r\n\x1a\n and more"


def url(data: bytes, media_type: str = "image/jpeg") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


FILES: list[tuple[dict[str, Any], Part]] = [
    ({"type": "image_url", "image_url": {"url": url(PNG), "detail": "low"}}, ImagePart("png", PNG)),
    ({"type": "image_url", "image_url": url(PNG)}, ImagePart("png", PNG)),
    ({"type": "input_image", "image_url": url(PNG), "detail": "auto"}, ImagePart("png", PNG)),
    ({"type": "file", "file": {"file_data": url(PNG)}}, ImagePart("png", PNG)),
    (
        {"type": "file", "file": {"file_data": url(b"%PDF-1"), "filename": "a.pdf"}},
        DocumentPart("a.pdf", "pdf", b"%PDF-1"),
    ),
    ({"type": "file", "file": {"file_data": "YSxi", "filename": "a.csv"}}, DocumentPart("a.csv", "csv", b"a,b")),
    ({"type": "file", "file": {"file_data": url(b"a", "text/html")}}, DocumentPart("document", "html", b"a")),
]


@pytest.mark.parametrize(("part", "meant"), FILES)
def test_files_and_images(part: dict[str, Any], meant: Part) -> None:
    [message] = ask(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]).request.messages
    assert message.parts == (TextPart("a"), meant)


@pytest.mark.parametrize(("said", "place"), [({"url": "https://example.org/a.png"}, ".url"), ("http://127.0.0.1/", "")])
def test_an_image_elsewhere_is_a_link(said: Any, place: str) -> None:
    part = {"type": "image_url", "image_url": said}
    [message] = ask(messages=[{"role": "user", "content": [part]}]).request.messages
    address = said if isinstance(said, str) else said["url"]
    assert message.parts == (ImageLink(address, f"messages[0].content[0].image_url{place}"),)


def test_an_image_of_a_tool_stands_beside_its_result() -> None:
    content = [FILES[0][0], {"type": "text", "text": "seen"}]
    [message] = ask(messages=[{"role": "tool", "tool_call_id": "1", "content": content}]).request.messages
    assert message == Message("user", (ToolResultPart("1", "seen"), ImagePart("png", PNG)))


REFUSED = [
    ({"type": "image_url", "image_url": {"url": "data:image/png;base64,????"}}, "image_url.url"),
    ({"type": "image_url", "image_url": {"url": url(b"%PDF-1")}}, "image_url.url"),
    ({"type": "image_url"}, "image_url"),
    ({"type": "text"}, "text"),
    ({"type": "file"}, "file"),
    ({"type": "image_url", "image_url": {}}, "image_url"),
    ({"type": "file", "file": {}}, "file.file_data"),
    ({"type": "file", "file": {"file_id": "file-1"}}, "file.file_id"),
    ({"type": "file", "file": {"file_data": url(b"\0")}}, "file.file_data"),
]


@pytest.mark.parametrize(("part", "place"), REFUSED)
def test_what_is_no_image_or_file_is_refused(part: dict[str, Any], place: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        ask(messages=[{"role": "user", "content": [part]}])
    assert (raised.value.status, raised.value.param) == (400, f"messages[0].content[0].{place}")


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_images_stand_with_users_and_tools_only(role: str) -> None:
    with pytest.raises(errors.InvalidValue):
        ask(messages=[{"role": role, "content": [FILES[0][0]]}])
