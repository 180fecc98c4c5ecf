"""The whole answer: a Reply → a `chat.completion`, and what its members share with the streamed one.

In: a Reply. Out: a JSON body. Refuses to know events one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from cw_proxy.events import Reply
from cw_proxy.extension import extension_of, usage_of
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.usage import count, reply_tally, together


def completion(request: Request, replies: Sequence[Reply], stamp: Stamp) -> bytes:
    tokens = together([count(request, reply.usage, reply_tally(reply)) for reply in replies])
    answer = {
        **envelope("chat.completion", request, stamp),
        "choices": [_choice(index, reply) for index, reply in enumerate(replies)],
        "usage": usage_of(tokens),
    }
    notes = [note for reply in replies for note in reply.notes]
    if extension := extension_of([reply.usage for reply in replies], notes):
        answer["x_cw"] = extension
    return msgspec.json.encode(answer)


def _choice(index: int, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if not reply.tool_calls:
        message["content"] = reply.text
    if reasoning := "".join(thought.text for thought in reply.thoughts):
        message["reasoning_content"] = reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}


def envelope(kind: str, request: Request, stamp: Stamp) -> dict[str, Any]:
    return {"id": f"chatcmpl-{stamp.new_id()}", "object": kind, "created": stamp.now, "model": request.model}
