"""Content parts go in; parts of the model come out, or the place of what is wrong."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from responses import ask

from cw_proxy import errors
from cw_proxy.model import DocumentPart, ImageLink, ImagePart, TextPart

PNG = b"\x89PNG\r\n\x1a\n...."
URL = "data:image/jpeg;base64," + base64.b64encode(PNG).decode()
TEXT = base64.b64encode(b"a,b\n1,2\n").decode()


def parts(content: Any, role: str = "user") -> Any:
    [message] = ask(input=[{"role": role, "content": content}]).request.messages
    return message.parts


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"type": "input_text", "text": "a"}, TextPart("a")),
        ({"type": "output_text", "text": "a", "annotations": []}, TextPart("a")),
        ({"type": "text", "text": "a"}, TextPart("a")),
        ({"type": "refusal", "refusal": "no"}, TextPart("no")),
        ({"type": "input_image", "image_url": URL, "detail": "auto"}, ImagePart("png", PNG)),
        ({"type": "image_url", "image_url": {"url": URL}}, ImagePart("png", PNG)),
        ({"type": "input_file", "file_data": URL}, ImagePart("png", PNG)),
        ({"type": "input_file", "filename": "a.csv", "file_data": TEXT}, DocumentPart("a.csv", "csv", b"a,b\n1,2\n")),
        (
            {"type": "input_image", "image_url": "https://example.org/a.png"},
            ImageLink("https://example.org/a.png", "input[0].content[0].image_url"),
        ),
    ],
)
def test_parts(said: Any, part: Any) -> None:
    assert parts([said]) == (part,)


def test_a_text_is_one_part() -> None:
    assert parts("a") == (TextPart("a"),)
    assert parts([]) == ()


@pytest.mark.parametrize(
    ("said", "error", "param"),
    [
        ({"type": "input_audio", "input_audio": {}}, errors.InvalidValue, "type"),
        ({"type": "input_text"}, errors.InvalidValue, "text"),
        ({"type": "input_text", "text": 1}, errors.InvalidValue, "text"),
        ({"type": "refusal"}, errors.InvalidValue, "refusal"),
        ({"text": "a"}, errors.InvalidValue, ""),
        ({"type": "input_image"}, errors.InvalidValue, "image_url"),
        ({"type": "input_image", "file_id": "file-1"}, errors.UnsupportedParameter, "file_id"),
        ({"type": "input_image", "image_url": "data:image/png;base64,!"}, errors.InvalidValue, "image_url"),
        ({"type": "image_url", "image_url": {"url": "data:,x"}}, errors.InvalidValue, "image_url.url"),
        ({"type": "input_file"}, errors.InvalidValue, "file_data"),
        ({"type": "input_file", "file_id": "file-1"}, errors.UnsupportedParameter, "file_id"),
        ({"type": "input_file", "file_url": "https://example.org/a"}, errors.UnsupportedParameter, "file_url"),
        ({"type": "input_file", "file_data": "AAAA"}, errors.InvalidValue, "file_data"),
    ],
)
def test_what_is_refused_names_its_place(said: Any, error: type[errors.ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        parts([{"type": "input_text", "text": "a"}, said])
    assert raised.value.param == f"input[0].content[1].{param}".rstrip(".")


def test_images_are_the_user_s() -> None:
    with pytest.raises(errors.InvalidValue):
        parts([{"type": "input_image", "image_url": URL}], role="system")
