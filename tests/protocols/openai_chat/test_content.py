"""Content parts of every kind, and where they may stand."""

from __future__ import annotations

from typing import Any

import pytest
from chat import ask

from cw_proxy import errors
from cw_proxy.model import TextPart


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


@pytest.mark.parametrize("part", [{"type": "input_audio"}, {"type": "video", "text": "a"}, {"type": "text"}])
def test_other_parts_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidValue) as raised:
        ask(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}, part]}])
    assert raised.value.param == "messages[0].content[1].type"
