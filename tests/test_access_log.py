"""A line for each exchange: one line whatever clients write, the same names in each."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.access_log import as_json, as_text
from cw_proxy.record import Entry

BARE = Entry(id="req_1", time=1_700_000_000.5, method="GET", route="/v1/models", status=200, outcome="ok", total_ms=1.2)
FULL = Entry(
    **{
        **msgspec.structs.asdict(BARE),
        **{"key": "alice", "agent": "curl/8", "model_asked": "auto", "model": "a-model", "backend": "codewhisperer"},
        **{"stream": True, "finish": "stop", "queue_ms": 1.0, "first_ms": 20.0, "total_ms": 1500.4},
        **{"input_tokens": 12, "output_tokens": 34, "cached_tokens": 0, "tokens_source": "estimated"},
    }
)


def test_json_has_every_name_in_every_line() -> None:
    for entry in (BARE, FULL):
        read = json.loads(as_json(entry))
        assert list(read) == [field.name for field in msgspec.structs.fields(Entry)]
        assert read.pop("time") == "2023-11-14T22:13:20.500Z"
        assert read.items() <= msgspec.structs.asdict(entry).items()


def test_text_leaves_out_what_is_not_there() -> None:
    assert as_text(BARE) == "2023-11-14T22:13:20.500Z req_1 GET /v1/models 200 ok total=1ms"
    assert as_text(FULL) == (
        "2023-11-14T22:13:20.500Z req_1 GET /v1/models 200 ok key=alice model='a-model' asked='auto' stream=yes "
        "finish=stop tokens=12+34 estimated queue=1ms first=20ms total=1500ms agent='curl/8'"
    )


@given(st.text(st.characters(codec="utf-8"), max_size=100))
def test_a_line_is_one_line(text: str) -> None:
    entry = msgspec.structs.replace(FULL, model_asked=text, model=text, agent=text)
    assert json.loads(as_json(entry))["agent"] == text
    for line in (as_json(entry), as_text(entry)):
        assert "\n" not in line
        assert "\r" not in line
        assert "\x1b" not in line
