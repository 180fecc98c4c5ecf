"""Calls come back under the client's names; calls without a reader do not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import answers, cut, cuts, frames_of, json_objects, request, say
from tool_schemas import schemas_with_arguments

from cw_proxy.backends.codewhisperer.names import hashed, renamed
from cw_proxy.backends.codewhisperer.offer import naming
from cw_proxy.backends.codewhisperer.reply import ReplyDecoder
from cw_proxy.backends.codewhisperer.restore import _with_names, restoring
from cw_proxy.events import Begin, End, Event, OrderCheck, Text, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.model import Message, Request, Tool, ToolUsePart

LONG = "p" * 70
QUESTION = say("user", "q")


def decoded(asked: Request, events: list[Event], fractions: tuple[float, ...] = ()) -> list[Event]:
    decoder = restoring(ReplyDecoder(), naming(asked))
    seen = [event for chunk in cut(b"".join(frames_of(events)), [*fractions]) for event in decoder.feed(chunk)]
    seen += decoder.finish()
    OrderCheck().feed(seen)
    return seen


@pytest.mark.parametrize("tools", [(), (Tool("ls", "", {}),)])
def test_nothing_stands_between_where_nothing_is_to_be_mapped(tools: tuple[Tool, ...]) -> None:
    decoder = ReplyDecoder()
    assert restoring(decoder, naming(request(QUESTION, tools=tools))) is decoder


def test_names_come_back_and_fragments_stream() -> None:
    asked = request(QUESTION, tools=(Tool("mcp.ls", "", {}), Tool("other", "", {})))
    events: list[Event] = [
        *[Begin(), ToolOpen("1", hashed("mcp.ls")), ToolInput('{"a"'), ToolInput(":1}"), ToolClose()],
        *[ToolOpen("2", "other"), ToolClose(), End("tool_calls")],
    ]
    back = [ToolOpen("1", "mcp.ls") if event == events[1] else event for event in events]
    assert decoded(asked, events) == back


@pytest.mark.parametrize("fractions", [(), (0.3, 0.5), (0.1, 0.42, 0.44, 0.8)])
def test_property_names_come_back_and_all_else_stays_as_written(fractions: tuple[float, ...]) -> None:
    asked = request(QUESTION, tools=(Tool("ls", "", {"properties": {LONG: {}, "é": {}}}),))
    written = f'{{ "{hashed(LONG)}" : 1.0,"b":"{hashed(LONG)}","c":[{{"{hashed("é")}":1e400}}]}}'
    events: list[Event] = [Begin(), ToolOpen("1", "ls"), ToolInput(written[:20]), Usage(credits=1.0)]
    events += [ToolInput(written[20:]), ToolClose(), ToolOpen("2", "ls"), ToolClose(), Text("a"), End("tool_calls")]
    seen = decoded(asked, events, fractions)
    [arguments] = [event.fragment for event in seen if isinstance(event, ToolInput)]
    assert arguments == f'{{ "{LONG}" : 1.0,"b":"{hashed(LONG)}","c":[{{"é":1e400}}]}}'
    assert json.loads(arguments)
    assert [event for event in seen if isinstance(event, ToolOpen)] == [ToolOpen("1", "ls"), ToolOpen("2", "ls")]


NAMES = {"abc": "$a", "d-e": "ü/\\"}
SPELLED = [
    (r'{"\u0061bc":1}', '{"$a":1}'),
    (r'{"a\u0062\u0063" :1,"x":{"d\u002de":2}}', r'{"$a" :1,"x":{"ü/\\":2}}'),
    (r'{"\/abc":1,"ab\"c":2,"abc\\":3}', r'{"\/abc":1,"ab\"c":2,"abc\\":3}'),
    (r'{"x":"abc","y":["abc","\"abc\":"]}', r'{"x":"abc","y":["abc","\"abc\":"]}'),
    (r'{"x":["a",": b"],"abc":{"y":"\\","abc":", "}}', r'{"x":["a",": b"],"$a":{"y":"\\","$a":", "}}'),
    (r'{"\ud83d":1,"abc":2}', r'{"\ud83d":1,"$a":2}'),
]


@pytest.mark.parametrize(("written", "wanted"), SPELLED)
def test_keys_come_back_however_the_model_spells_them(written: str, wanted: str) -> None:
    assert json.loads(written)
    assert _with_names(written, NAMES) == wanted


@given(json_objects, st.booleans())
def test_only_keys_are_replaced(value: dict[str, Any], ascii_only: bool) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only)
    names = {"": "longer than any other", "a": "another, as long"}
    assert json.loads(_with_names(written, names)) == renamed(value, names)


@given(schemas_with_arguments(), cuts, st.booleans())
def test_arguments_come_back_as_the_client_names_them(
    pair: tuple[dict[str, Any], dict[str, Any]], fractions: list[float], ascii_only: bool
) -> None:
    schema, arguments = pair
    asked = request(QUESTION, tools=(Tool("ls", "", schema),))
    sent = naming(asked).use(ToolUsePart("1", "ls", arguments))["input"]
    events: list[Event] = [Begin(), ToolOpen("1", "ls"), ToolInput(json.dumps(sent, ensure_ascii=ascii_only))]
    seen = decoded(asked, [*events, ToolClose(), End("tool_calls")], tuple(fractions))
    assert json.loads("".join(event.fragment for event in seen if isinstance(event, ToolInput))) == arguments


@given(answers(), cuts)
def test_calls_without_a_reader_do_not_come_out(events: list[Event], fractions: list[float]) -> None:
    asked = request(QUESTION, Message("assistant", (ToolUsePart("1", "ls", {}),)))
    seen = decoded(asked, events, tuple(fractions))
    assert not [event for event in seen if isinstance(event, ToolOpen | ToolInput | ToolClose)]
    assert "".join(event.text for event in seen if isinstance(event, Text)) == "".join(
        event.text for event in events if isinstance(event, Text)
    )
    assert seen[-1] != End("tool_calls")


def test_whether_a_tail_came_is_passed_on() -> None:
    asked = request(QUESTION, tools=(Tool("mcp.ls", "", {}),))
    decoder = restoring(ReplyDecoder(), naming(asked))
    assert not decoder.tail
    decoder.feed(b"".join(frames_of([Begin(), Usage(credits=1.0)])))
    assert decoder.tail
