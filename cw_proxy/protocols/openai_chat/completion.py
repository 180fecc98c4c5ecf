"""The whole answer: a Reply → a `chat.completion`, and what its members share with the streamed one.

In: a Reply. Out: a JSON body. Refuses to know events one by one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cw_proxy.events import Reply
from cw_proxy.extension import extension_of, usage_of
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.usage import count, reply_tally


def completion(request: Request, reply: Reply, stamp: Stamp) -> bytes:
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
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    answer = {
        **envelope("chat.completion", request, stamp),
        "choices": [choice],
        "usage": usage_of(count(request, reply.usage, reply_tally(reply))),
    }
    if extension := extension_of(reply.usage, reply.notes):
        answer["x_cw"] = extension
    return msgspec.json.encode(answer)


def envelope(kind: str, request: Request, stamp: Stamp) -> dict[str, Any]:
    return {"id": f"chatcmpl-{stamp.new_id()}", "object": kind, "created": stamp.now, "model": request.model}
