"""The response object: what a question's body says about it, and what became of it.

In: a Body, ids, token counts, output items. Out: its JSON members. Refuses to know events and how they are sent.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cw_proxy.errors import ContextLengthExceeded, InsufficientQuota, InvalidRequest, ProxyError, RateLimited
from cw_proxy.events import FinishReason, Usage
from cw_proxy.protocols.openai_responses import shapes
from cw_proxy.protocols.openai_responses.tools import choice_shown, tools_shown
from cw_proxy.usage import AnswerTally, TokenCount

# Why an answer is not complete, by the reason it finished with.
_INCOMPLETE: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def shown(said: shapes.Body) -> dict[str, Any]:
    """What a response repeats of its question, and what it says until there is an answer."""
    reasoning = said.reasoning or shapes.Reasoning()
    text = msgspec.to_builtins(said.text) if said.text is not None else {}
    return {
        "background": False,
        "instructions": said.instructions,
        "max_output_tokens": said.max_output_tokens,
        "max_tool_calls": said.max_tool_calls,
        "metadata": said.metadata or {},
        "model": said.model,
        "parallel_tool_calls": said.parallel_tool_calls is not False,
        "previous_response_id": said.previous_response_id,
        "prompt_cache_key": said.prompt_cache_key,
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary},
        "safety_identifier": said.safety_identifier,
        "service_tier": "default",
        "store": said.store is not False,
        "temperature": 1.0 if said.temperature is None else said.temperature,
        "text": {"format": {"type": "text"}, **text},
        "tool_choice": choice_shown(said.tool_choice),
        "tools": tools_shown(said.tools or []),
        "top_logprobs": 0,
        "top_p": 1.0 if said.top_p is None else said.top_p,
        "truncation": "disabled",
        "user": said.user,
    }


def outcome(reason: FinishReason) -> dict[str, Any]:
    """`status`, and why an answer is not complete."""
    why = _INCOMPLETE.get(reason)
    if why is None:
        return {"status": "completed", "incomplete_details": None}
    return {"status": "incomplete", "incomplete_details": {"reason": why}}


def failure(error: ProxyError) -> dict[str, Any]:
    """A response's `error`. The SDKs know few codes; ours stands in `x_cw`."""
    return {"code": _code(error), "message": error.message}


def _code(error: ProxyError) -> str:
    # Codex gives up on these two and repeats anything else.
    if isinstance(error, (ContextLengthExceeded, InsufficientQuota)):
        return error.default_code
    if isinstance(error, RateLimited):
        return "rate_limit_exceeded"
    return "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"


def usage_of(tokens: TokenCount, usage: Usage, said: AnswerTally) -> dict[str, Any]:
    thoughts = round(said.thoughts.tokens * (usage.scale or 1.0))
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {
            "cached_tokens": tokens.cached,
            "cache_write_tokens": usage.cache_write_tokens or 0,
        },
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": min(thoughts, tokens.output)},
        "total_tokens": tokens.total,
        "cw_usage_source": tokens.source,
    }
