"""`additionalModelRequestFields`: what a model takes beyond the service's own members (upstream.md §1.3).

In: a Request, the JSON Schema that the model is listed with. Out: the fields, and which wishes they carry out. Refuses
to know hosts and payloads. The service is reported to be strict, so that only what the schema names is ever sent.
"""

from __future__ import annotations

from typing import Any

from cw_proxy.model import Request

# OpenAI's efforts, by strength; a model that lists others gets the nearest it has.
_STRENGTHS = {"minimal": 0, "low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 4}


def model_fields(request: Request, schema: dict[str, Any]) -> dict[str, Any]:
    return {**_length(request, schema), **_effort(request, schema)}


def carried(request: Request, schema: dict[str, Any]) -> frozenset[str]:
    """Which of the request's members the fields above carry out."""
    wishes = {"max_tokens": _length(request, schema), "reasoning_effort": _effort(request, schema)}
    return frozenset(name for name, fields in wishes.items() if fields)


def _length(request: Request, schema: dict[str, Any]) -> dict[str, Any]:
    bounds = _at(schema, "max_tokens")
    if request.max_tokens is None or not bounds:
        return {}
    # More than a model can write is no more than it can write.
    most, least = bounds.get("maximum"), bounds.get("minimum")
    if isinstance(least, int) and request.max_tokens < least:
        return {}
    return {"max_tokens": min(request.max_tokens, most) if isinstance(most, int) else request.max_tokens}


def _effort(request: Request, schema: dict[str, Any]) -> dict[str, Any]:
    if request.reasoning_effort == "none":
        return _thinking(schema, "disabled")
    for member in ("output_config", "reasoning"):
        effort = _nearest(request.reasoning_effort, _at(schema, member, "effort").get("enum"))
        if effort is not None:
            return {**_thinking(schema, "adaptive"), member: {"effort": effort}}
    return {}


def _thinking(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    kinds = _at(schema, "thinking", "type").get("enum")
    return {"thinking": {"type": kind}} if isinstance(kinds, list) and kind in kinds else {}


def _nearest(effort: str | None, listed: Any) -> str | None:
    known = [name for name in _STRENGTHS if name in listed] if isinstance(listed, list) else []
    if effort not in _STRENGTHS or not known:
        return None
    wanted = _STRENGTHS[effort]
    return min(known, key=lambda name: abs(_STRENGTHS[name] - wanted))


def _at(schema: Any, *names: str) -> dict[str, Any]:
    """The schema of a property of properties; empty where there is none."""
    for name in names:
        properties = schema.get("properties") if isinstance(schema, dict) else None
        schema = properties.get(name) if isinstance(properties, dict) else None
    return schema if isinstance(schema, dict) else {}
