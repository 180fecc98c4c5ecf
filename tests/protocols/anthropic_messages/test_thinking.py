"""How much thinking is wished, and how much of it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from messages import ask

from cw_proxy.errors import InvalidValue
from cw_proxy.events import Thought
from cw_proxy.protocols.anthropic_messages.thinking import Display, displayed

EFFORTS: list[tuple[dict[str, Any], str | None]] = [
    ({}, None),
    ({"thinking": None, "output_config": None}, None),
    ({"thinking": {"type": "disabled"}}, "none"),
    ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, "none"),
    ({"thinking": {"type": "adaptive"}}, "high"),
    ({"thinking": {"type": "between_tools"}}, "high"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
    ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "medium"),
    ({"thinking": {"type": "enabled", "budget_tokens": 16_384}}, "high"),
    ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "high"),
    ({"thinking": {"type": "enabled"}}, "high"),
    ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
    ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "xhigh"}}, "xhigh"),
    ({"output_config": {"effort": "medium"}}, "medium"),
    ({"output_config": {"effort": None}}, None),
]


@pytest.mark.parametrize(("members", "effort"), EFFORTS)
def test_efforts(members: dict[str, Any], effort: str | None) -> None:
    assert ask(**members).request.reasoning_effort == effort


def test_other_ways_of_thinking_are_refused() -> None:
    with pytest.raises(InvalidValue) as raised:
        ask(thinking={"type": "deeply"})
    assert raised.value.param == "thinking.type"


DISPLAYS: list[tuple[Any, Display]] = [
    (None, "hidden"),
    ({"type": "disabled", "display": "summarized"}, "hidden"),
    ({"type": "adaptive"}, "shown"),
    ({"type": "enabled", "budget_tokens": 2048, "display": "summarized"}, "shown"),
    ({"type": "enabled", "budget_tokens": 2048, "display": "omitted"}, "omitted"),
]


@pytest.mark.parametrize(("thinking", "display"), DISPLAYS)
def test_displays(thinking: Any, display: Display) -> None:
    assert ask(thinking=thinking).display == display


def test_what_is_displayed() -> None:
    whole = Thought("a", "s", None)
    assert displayed(whole, "shown") == whole
    assert displayed(whole, "omitted") == Thought("", "s", None)
    assert displayed(Thought("a"), "omitted") is None
    assert displayed(Thought(redacted="r"), "omitted") == Thought(redacted="r")
    assert displayed(Thought(), "shown") is None
    assert displayed(whole, "hidden") is None
