"""Thinking: how much of it is wished, and how much of it is shown.

In: the body's `thinking` and `output_config`; thoughts. Out: an effort; what of a thought goes to the client. Refuses
to know frames and bodies.

The service knows efforts, no budgets. Thoughts are shown to those who asked for thinking: others take the first block
of an answer for its text.
"""

from __future__ import annotations

from typing import Literal

from cw_proxy.errors import InvalidValue
from cw_proxy.events import Thought
from cw_proxy.protocols.anthropic_messages import shapes

Display = Literal["shown", "omitted", "hidden"]

# A budget below so many tokens is this effort; above all of them it is "high".
_BUDGETS = ((4_096, "low"), (16_384, "medium"))
_THINKS = ("enabled", "adaptive", "between_tools")


def read_effort(thinking: shapes.Thinking | None, output: shapes.OutputConfig | None) -> str | None:
    """Raises InvalidValue. A named effort outranks a budget; adaptive thinking without one is Anthropic's default."""
    kind = thinking.type if thinking else None
    if kind not in (*_THINKS, "disabled", None):
        known = ", ".join(map(repr, (*_THINKS, "disabled")))
        raise InvalidValue(f"{kind[:40]!r} is no way of thinking: they are {known}.", param="thinking.type")
    if kind == "disabled":
        return "none"
    if output and output.effort:
        return output.effort
    if thinking and thinking.budget_tokens is not None:
        budget = thinking.budget_tokens
        return next((effort for most, effort in _BUDGETS if budget < most), "high")
    return "high" if kind else None


def read_display(thinking: shapes.Thinking | None) -> Display:
    if thinking is None or thinking.type not in _THINKS:
        return "hidden"
    return "omitted" if thinking.display == "omitted" else "shown"


def displayed(thought: Thought, display: Display) -> Thought | None:
    """Without its text a thought is still its signature."""
    if display == "hidden":
        return None
    kept = Thought("", thought.signature, thought.redacted) if display == "omitted" else thought
    return kept if kept.text or kept.signature or kept.redacted else None
