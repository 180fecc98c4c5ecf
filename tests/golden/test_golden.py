"""Each script's bytes, streamed and whole, byte for byte. `GOLDEN_UPDATE=1` rewrites the files; review the diff."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cw_proxy.errors import UpstreamTruncated
from cw_proxy.events import (
    Begin,
    Collector,
    End,
    Event,
    Fail,
    Note,
    OrderCheck,
    Text,
    Thought,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
)
from cw_proxy.interfaces import Ask, ClientProtocol, Close, Send, Stamp
from cw_proxy.protocols.anthropic_messages import AnthropicMessages
from cw_proxy.protocols.openai_chat import OpenAIChat
from cw_proxy.protocols.openai_responses import OpenAIResponses
from cw_proxy.protocols.simple_completions import SimpleCompletions

HERE = Path(__file__).parent
STAMP = Stamp(1_700_000_000, lambda: "00000000000000000000000000000000")

SCRIPTS: dict[str, list[Event]] = {
    "text": [Begin("c-1"), Text("Hello"), Text(", "), Text("world"), Text("."), End("stop")],
    "unicode": [
        *[Begin(), Text("é 漢字 👍"), Text("\u2028\x85\0"), Text('"\\/\n\r\t'), Text("[DONE]"), Text("</think>")],
        *[Text("ha"), Text("ha"), End("length")],
    ],
    "tools": [
        *[Begin(), Text("Looking."), ToolOpen("t1", "ls"), ToolInput('{"path"'), ToolInput(':"é"}'), ToolClose()],
        *[ToolOpen("t2", "ls"), ToolInput('{"path":"é"}'), ToolClose()],
        *[ToolOpen("t3", "now"), ToolClose(), End("tool_calls")],
    ],
    "usage": [
        *[Begin(), Text("a"), Usage(context_percent=12.5), Usage(credits=0.25)],
        *[Usage(input_tokens=10, output_tokens=5, cache_read_tokens=3, cache_write_tokens=2), End("stop")],
    ],
    "notes": [
        *[Begin(), Thought("Let me "), Thought("think."), Thought(signature="signed"), Text("code")],
        Note("references", [{"licenseName": "MIT", "repository": "r", "url": "https://example.org/r"}]),
        *[Note("followup", {"content": "More?"}), Note("web_links", [{"url": "u", "title": "t"}]), End("stop")],
    ],
    "error": [Begin(), Text("Half a "), Fail(UpstreamTruncated("The service's answer was cut off."))],
}
# Each protocol, and a question in its language.
PROTOCOLS: dict[str, tuple[ClientProtocol, bytes]] = {
    "anthropic_messages": (
        AnthropicMessages(),
        b'{"model":"auto","max_tokens":99,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"hello"}]',
    ),
    "openai_chat": (OpenAIChat(), b'{"model":"auto","messages":[{"role":"user","content":"hello"}]'),
    "openai_responses": (OpenAIResponses(), b'{"model":"auto","input":"hello"'),
    "simple_completions": (SimpleCompletions(), b'{"model":"auto","prompt":"hello"'),
}
FORMS = {
    "stream": b',"stream":true}',
    "stream-usage": b',"stream":true,"stream_options":{"include_usage":true}}',
    "full": b"}",
}


def answered(protocol: ClientProtocol, ask: Ask, events: list[Event]) -> bytes:
    OrderCheck().feed(events)
    if ask.stream:
        return ask.encoder(STAMP).feed(events)
    collector = Collector()
    collector.feed(events)
    try:
        return ask.render([collector.reply()], STAMP)
    except UpstreamTruncated as error:
        return protocol.error(error).body


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_golden(name: str, script: str, form: str) -> None:
    protocol, question = PROTOCOLS[name]
    [ask] = protocol.session().receive(question + FORMS[form])
    assert not isinstance(ask, (Send, Close))
    answer = answered(protocol, ask, SCRIPTS[script])
    file = HERE / name / f"{script}.{form}.{'sse' if ask.stream else 'json'}"
    if os.environ.get("GOLDEN_UPDATE") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(answer)
    assert answer == file.read_bytes()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_there_is_no_file_without_a_script(name: str) -> None:
    stems = {f"{script}.{form}" for script in SCRIPTS for form in FORMS}
    assert {file.stem for file in (HERE / name).iterdir()} == stems
