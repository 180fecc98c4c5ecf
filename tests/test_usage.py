"""Numbers of the service, or lengths, go in; tokens and how they are known come out."""

from __future__ import annotations

import pytest
from strategies import request, say

from cw_proxy.events import Reply, Thought, ToolCall, Usage
from cw_proxy.usage import TokenCount, count, estimate, prompt_characters, reply_characters

ASKED = request(say("system", "1234"), say("user", "1234", "5678"))  # 14 characters: a blank line joins the parts


@pytest.mark.parametrize(("characters", "tokens"), [(0, 1), (1, 1), (4, 1), (5, 2), (8, 2), (4001, 1001)])
def test_four_characters_are_a_token_and_nothing_is_one(characters: int, tokens: int) -> None:
    assert estimate(characters) == tokens


COUNTS = [
    (Usage(input_tokens=10, output_tokens=5), TokenCount(10, 5, 0, "exact")),
    (
        Usage(input_tokens=10, output_tokens=5, cache_read_tokens=3, cache_write_tokens=2),
        TokenCount(15, 5, 3, "exact"),
    ),
    (Usage(input_tokens=0, output_tokens=0), TokenCount(0, 0, 0, "exact")),
    (Usage(), TokenCount(4, 2, 0, "estimated")),
    (Usage(input_tokens=10), TokenCount(4, 2, 0, "estimated")),
    (Usage(output_tokens=5, cache_read_tokens=3, context_percent=1.0), TokenCount(4, 2, 0, "estimated")),
]


@pytest.mark.parametrize(("usage", "counted"), COUNTS)
def test_the_services_numbers_count_where_it_sent_both(usage: Usage, counted: TokenCount) -> None:
    assert count(ASKED, usage, 8) == counted
    assert counted.total == counted.input + counted.output


def test_characters_are_those_of_texts_calls_and_thoughts() -> None:
    assert prompt_characters(ASKED) == 14
    reply = Reply(
        text="1234",
        thoughts=(Thought("12"), Thought(signature="no text")),
        tool_calls=(ToolCall("id", "ls", "{}"),),
        notes=(),
        usage=Usage(),
        finish_reason="stop",
    )
    assert reply_characters(reply) == 4 + 2 + 4
