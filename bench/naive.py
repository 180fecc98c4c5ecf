"""The translator anyone would write first: aiohttp both ways, botocore's decoder, a dict and a write for each event.

Honest work, no traps built in: the measure of what care is worth.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

import aiohttp
from aiohttp import web
from botocore.eventstream import EventStreamBuffer

from bench.loops import serve

_session = web.AppKey("session", aiohttp.ClientSession)
_upstream = web.AppKey("upstream", str)


async def completions(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    payload = {
        "conversationState": {
            "conversationId": str(uuid.uuid4()),
            "chatTriggerType": "MANUAL",
            "currentMessage": {"userInputMessage": {"content": body["messages"][-1]["content"], "origin": "CLI"}},
        }
    }
    headers = {"Authorization": "Bearer bench"}
    url = request.app[_upstream] + "/generateAssistantResponse"
    async with request.app[_session].post(url, json=payload, headers=headers) as upstream:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        identity = f"chatcmpl-{uuid.uuid4().hex}"
        created = int(time.time())
        buffer = EventStreamBuffer()
        async for data in upstream.content.iter_any():
            buffer.add_data(data)
            for event in buffer:
                text = _text(event)
                if text:
                    chunk = _chunk(identity, created, body["model"], {"content": text}, None)
                    await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
        last = _chunk(identity, created, body["model"], {}, "stop")
        await response.write(f"data: {json.dumps(last)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _text(event: Any) -> str | None:
    message = event.to_response_dict()
    if message["headers"].get(":event-type") != "assistantResponseEvent":
        return None
    content: str = json.loads(message["body"])["content"]
    return content


def _chunk(identity: str, created: int, model: str, delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }


async def start(upstream: int) -> int:
    app = web.Application()
    app[_session] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    app[_upstream] = f"http://127.0.0.1:{upstream}"
    app.router.add_post("/v1/chat/completions", completions)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    port: int = runner.addresses[0][1]
    return port


if __name__ == "__main__":
    serve(start, int(sys.argv[1]))
