"""Which protocol a message's body belongs to, and whether it wants a stream."""

from __future__ import annotations

import pytest

from cw_proxy.protocols import protocols
from cw_proxy.subjects import Subjects

BODIES = [
    (b"Hello", "plain_text", False),
    (b"[1]", "plain_text", False),
    (b"{broken", "plain_text", False),
    (b'{"a": 1}', "plain_text", False),
    (b"{" * 100_000, "plain_text", False),
    (b'{"messages": []}', "openai_chat", False),
    (b' {"stream":  true, "messages": []}', "openai_chat", True),
    (b'{"stream": false, "input": ""}', "openai_responses", False),
    (b'{"prompt": "", "stream": true}', "simple_completions", True),
    # Half an emoji, as JavaScript clients send it: over HTTP it is answered.
    (b'{"messages": [{"content": "a \\ud83d"}], "stream": true}', "openai_chat", True),
    (b'{"a": 1, "stream": true}', "plain_text", False),
]


@pytest.mark.parametrize(("body", "name", "stream"), BODIES, ids=range(len(BODIES)))
def test_a_body_says_whose_it_is(body: bytes, name: str, stream: bool) -> None:
    protocol, wanted = Subjects(protocols()).of(body)
    assert (protocol.name, wanted) == (name, stream)
