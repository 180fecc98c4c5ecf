"""What a response says about its question and its end."""

from __future__ import annotations

import json

import msgspec
import pytest
from responses import JUDGE, ask, body

from cw_proxy import errors
from cw_proxy.events import Usage
from cw_proxy.interfaces import Stamp
from cw_proxy.protocols.openai_responses.encoder import envelope
from cw_proxy.protocols.openai_responses.response import failure, outcome, usage_of
from cw_proxy.usage import AnswerTally, TokenCount

SCHEMA = {"type": "object", "properties": {}}
SAID = {
    "instructions": "i",
    "metadata": {"a": "b"},
    "max_output_tokens": 7,
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "reasoning": {"effort": "low", "summary": "auto"},
    "store": False,
    "temperature": 0.5,
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}, "verbosity": "low"},
    "tool_choice": {"type": "function", "name": "ls"},
    "top_p": 0.5,
}
TOOLS = [
    {"type": "function", "name": "ls"},
    {"type": "custom", "name": "p", "format": {"type": "text"}},
    {"type": "namespace", "name": "n", "description": "d", "tools": [{"type": "function", "name": "x"}]},
]


def test_a_response_repeats_its_question() -> None:
    shown = ask(**SAID, tools=TOOLS).wanted.shown
    assert {**shown, **SAID} == shown
    response = JUDGE.full(msgspec.json.encode(envelope(shown, Stamp(1, lambda: "x"))))
    assert [tool.type for tool in response.tools] == ["function", "custom", "namespace"]


def test_what_was_not_said_has_the_api_s_defaults() -> None:
    response = JUDGE.full(msgspec.json.encode(envelope(ask().wanted.shown, Stamp(1, lambda: "x"))))
    assert (response.id, response.status, response.output, response.store) == ("resp_x", "in_progress", [], True)
    assert (response.tool_choice, response.tools, response.parallel_tool_calls) == ("auto", [], True)
    assert response.to_dict()["text"] == {"format": {"type": "text"}}
    assert json.loads(body())["model"] == response.model


def test_outcomes() -> None:
    assert outcome("stop") == outcome("tool_calls") == {"status": "completed", "incomplete_details": None}
    assert outcome("length")["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UpstreamTruncated("m"), "server_error"),
        (errors.RateLimited("m"), "rate_limit_exceeded"),
        (errors.InsufficientQuota("m"), "insufficient_quota"),
        (errors.ContextLengthExceeded("m"), "context_length_exceeded"),
        (errors.UpstreamRejected("m", code="content_filtered"), "invalid_prompt"),
    ],
)
def test_a_failure_has_a_code_that_sdks_know(error: errors.ProxyError, code: str) -> None:
    assert failure(error) == {"code": code, "message": "m"}


def test_reasoning_is_never_more_than_the_output() -> None:
    said = AnswerTally()
    said.thoughts.feed("a long thought " * 100)
    usage = usage_of(TokenCount(3, 5, 1, "estimated"), Usage(), said)
    assert usage["output_tokens_details"] == {"reasoning_tokens": 5}
