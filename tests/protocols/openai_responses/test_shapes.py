"""JSON goes in; a shape comes out, or a path from the body's root."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cw_proxy.errors import InvalidJson, InvalidValue
from cw_proxy.protocols.openai_responses.shapes import OPTIONS, Body, Frame, Message, TokensBody, read

MESSAGE = msgspec.json.Decoder(Message)


def test_every_option_is_a_member() -> None:
    assert set(OPTIONS) <= set(Body.__struct_fields__)


def test_every_member_is_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "responses.md").read_text()
    for name in Body.__struct_fields__:
        assert f"`{name}`" in page or f"`{name}: true`" in page, name


def test_a_path_begins_at_the_body() -> None:
    assert read(b'{"role":"user","content":"a"}', MESSAGE, "input[3]") == Message("user", "a")
    for raw, path in ((b'{"role":1}', "input[3].role"), (b"5", "input[3]"), (b'{"content":""}', "input[3]")):
        with pytest.raises(InvalidValue) as raised:
            read(raw, MESSAGE, "input[3]")
        assert raised.value.param == path


def test_half_an_emoji_is_mended_here_too() -> None:
    assert read(rb'{"role":"user","content":"\ud83d"}', MESSAGE, "") == Message("user", "\ufffd")
    with pytest.raises(InvalidJson):
        read(b"{", MESSAGE, "")


def test_what_is_only_counted_needs_no_model() -> None:
    assert msgspec.json.decode(b"{}", type=TokensBody).model == ""


@pytest.mark.parametrize(
    ("frame", "wrapped"),
    [
        (b'{"type":"t","response":{"a":1}}', b'{"a":1}'),
        (b'{"type":"t","response":null}', None),
        (b'{"type":"t"}', None),
    ],
)
def test_a_body_may_be_wrapped(frame: bytes, wrapped: bytes | None) -> None:
    assert msgspec.json.decode(frame, type=Frame).wrapped == wrapped
