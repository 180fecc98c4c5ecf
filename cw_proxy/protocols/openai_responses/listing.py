"""The items a response was made from, as a page of a list.

In: items as JSON, a query string. Out: the page. Refuses to know where items are kept. Items that came without an id
get one by their place, so that pages can follow each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from cw_proxy.errors import InvalidValue
from cw_proxy.protocols.openai_responses.items import kind_of

_MOST = 100
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}


def page(response_id: str, items: Sequence[bytes], query: str) -> dict[str, Any]:
    """Raises InvalidValue."""
    said = {name: values[-1] for name, values in parse_qs(query).items()}
    listed = [_listed(raw, response_id, at) for at, raw in enumerate(items)]
    if _order(said) == "desc":
        listed.reverse()
    start = _start(listed, said.get("after"))
    data = listed[start : start + _limit(said)]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": start + len(data) < len(listed),
    }


def _limit(said: dict[str, str]) -> int:
    limit = said.get("limit", "20")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MOST):
        raise InvalidValue(f"A page has 1 to {_MOST} items.", param="limit")
    return int(limit)


def _order(said: dict[str, str]) -> str:
    order = said.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidValue("The order is 'asc' or 'desc'.", param="order")
    return order


def _start(listed: Sequence[dict[str, Any]], after: str | None) -> int:
    if after is None:
        return 0
    for at, item in enumerate(listed):
        if item["id"] == after:
            return at + 1
    raise InvalidValue("There is no such item in this response.", param="after")


def _listed(raw: bytes, response_id: str, at: int) -> dict[str, Any]:
    kind, _ = kind_of(raw, "input")
    item: dict[str, Any] = msgspec.json.decode(raw)
    identity = item.get("id") or f"{_PREFIXES.get(kind, 'item')}_{response_id.removeprefix('resp_')}{at:04x}"
    item |= {"id": identity, "type": kind}
    item.setdefault("status", "completed")
    if kind == "message" and isinstance(item.get("content"), str):
        item["content"] = [_text(item["content"], item["role"])]
    return item


def _text(text: str, role: str) -> dict[str, Any]:
    if role == "assistant":
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    return {"type": "input_text", "text": text}
