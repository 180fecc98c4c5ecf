"""Variables of the environment that other programs know too: which setting each is for, and when it counts.

In: what is switched on, the environment. Out: the variables that count now, with their texts. Refuses to know how a
text becomes a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from enum import Enum, auto
from typing import Any

import msgspec


class Switch(Enum):
    SIMPLE_API = auto()
    PROMPT_SOCKET = auto()
    # The backend, unless an OPENAI_BASE_URL stands beside it: then the others are about that server, which may be this
    # very proxy.
    OPENAI = auto()
    # The same, at OpenAI's own address: a key for it goes there, and nowhere else.
    OPENAI_ITSELF = auto()


class Borrowed(msgspec.Struct, frozen=True):
    """It counts only with one of the switches, which `when` tells people, and only where nothing of ours sets the
    setting: what a shell holds for another program must not open this one."""

    variable: str
    setting: str
    when: str
    switches: frozenset[Switch]
    convert: Callable[[str], Any] | None = None  # from the variable's unit; raises ValueError


def _milliseconds(text: str) -> float:
    return float(text) / 1000


_SIMPLE = frozenset({Switch.SIMPLE_API})
_SOCKET = frozenset({Switch.PROMPT_SOCKET})
_OPENAI = frozenset({Switch.OPENAI})
_ITSELF = frozenset({Switch.OPENAI_ITSELF})

BORROWED = (
    Borrowed("DEFAULT_MODEL", "default_model", "with `simple_api` or `prompt_socket`", _SIMPLE | _SOCKET),
    Borrowed("REQUEST_TIMEOUT", "request_timeout", "with `simple_api`; in milliseconds", _SIMPLE, _milliseconds),
    Borrowed("CORS_ORIGINS", "cors_origins", "with `simple_api`", _SIMPLE),
    Borrowed("RATE_LIMIT_MAX", "rate_limit_max", "with `simple_api`", _SIMPLE),
    Borrowed("RATE_LIMIT_WINDOW_MS", "rate_limit_window", "with `simple_api`; in milliseconds", _SIMPLE, _milliseconds),
    Borrowed("API_GW_ENDPOINT", "lambda_socket_endpoint", "with `prompt_socket`", _SOCKET),
    Borrowed("OPENAI_MODEL", "openai_model", "with `backend` openai, unless `OPENAI_BASE_URL` is set", _OPENAI),
    Borrowed("OPENAI_API_KEY", "openai_api_key", "the same, and at OpenAI's own address only", _ITSELF),
)


def borrowed(on: Set[Switch], environment: Mapping[str, str]) -> list[tuple[Borrowed, str]]:
    """A blank variable is as good as none."""
    counting = [one for one in BORROWED if one.switches & on]
    found = ((one, environment.get(one.variable, "").strip()) for one in counting)
    return [(one, text) for one, text in found if text]
