"""`GET /models`: OpenAI's list, and what other servers say in it beside the names.

In: a response body. Out: a Catalog. Refuses to know what follows from a name that is not in it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cw_proxy.errors import UpstreamProtocol
from cw_proxy.interfaces import Catalog, ModelInfo

# Where servers tell how many tokens a model takes; OpenAI does not.
_WINDOWS = ("context_length", "context_window", "max_model_len", "max_input_tokens")


def parse_models(body: bytes, default: str | None) -> Catalog:
    """Entries without a name are skipped. Raises UpstreamProtocol."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UpstreamProtocol(f"The OpenAI upstream's list of models could not be read: {fault}") from None
    listed = said.get("data") if isinstance(said, dict) else said
    if not isinstance(listed, list):
        raise UpstreamProtocol("The OpenAI upstream's list of models is no list.")
    models = (_info(entry) for entry in listed if isinstance(entry, dict) and _text(entry.get("id")))
    return Catalog(tuple(models), default)


def _info(entry: dict[str, Any]) -> ModelInfo:
    sizes = (entry.get(name) for name in _WINDOWS)
    window = next((size for size in sizes if type(size) is int and size > 0), None)
    description = _text(entry.get("description"))
    return ModelInfo(entry["id"], _text(entry.get("name")), description, max_input_tokens=window)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
