"""The values a question is made of."""

from __future__ import annotations

import msgspec
import pytest

from cw_proxy.model import ImagePart, Message, Request, TextPart, ToolResultPart, ToolUsePart


def test_a_messages_text_is_that_of_its_text_parts_never_glued() -> None:
    image, use, result = ImagePart("png", b""), ToolUsePart("t", "ls", {}), ToolResultPart("t", "result")
    assert Message("user", (TextPart("a"), image, TextPart("b"), use, result)).text == "a\n\nb"
    assert Message("assistant", (image,)).text == Message("user", ()).text == ""


@pytest.mark.parametrize("value", [Message("user", ()), Request(model="m", messages=()), TextPart("a")])
def test_values_do_not_change(value: msgspec.Struct) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], "other")
