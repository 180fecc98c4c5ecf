"""A decision as a plan: text in pieces, tool uses in fragments, the tail with its usage.

In: a decision, the conversation it came from, the settings. Out: a Plan. Refuses to know how the decision was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import msgspec

from cw_proxy.emulator import frames
from cw_proxy.emulator.conversation import Conversation
from cw_proxy.emulator.decision import Break, Decision
from cw_proxy.emulator.model_fields import Wishes
from cw_proxy.emulator.refusal import fault_of_class
from cw_proxy.emulator.script import Action, Lose, Pause, Plan, Write
from cw_proxy.emulator.settings import Settings

CONTEXT_WINDOW = 200_000  # tokens
_CHARACTERS_PER_TOKEN = 4
_THOUGHT = "The emulator has no thoughts of its own."
_THOUGHT_PIECE = 16
_BROKEN = msgspec.json.encode(
    {"message": "The model stopped in the middle of the answer.", "reason": "MODEL_TEMPORARILY_UNAVAILABLE"}
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids and the model that the answer carries; made by the caller, so that an answer can be foretold."""

    conversation_id: str
    utterance_id: str
    tool_use_ids: Iterator[str]
    model_id: str


def grant(decision: Decision, wishes: Wishes) -> Decision:
    """What the request's own fields change in an answer."""
    most = (wishes.max_tokens or CONTEXT_WINDOW) * _CHARACTERS_PER_TOKEN
    cut = len(decision.text) > most
    return replace(decision, text=decision.text[:most], cut=cut, thought=_THOUGHT if wishes.thinking else "")


def plan_answer(decision: Decision, conversation: Conversation, settings: Settings, identity: Identity) -> Plan:
    if decision.fault is not None:
        return Plan(refusal=fault_of_class(decision.fault))
    plan = Plan()
    if settings.message_metadata:
        ids = {"conversationId": identity.conversation_id, "utteranceId": identity.utterance_id}
        plan.actions.append(Write(frames.encode(("messageMetadataEvent", ids))))
    plan.actions += _spaced(_thought_frames(decision), settings.piece_delay)
    plan.actions += _spaced(_text_frames(decision, settings, identity), settings.piece_delay)
    if _breaks(decision, settings):
        return _broken(plan, decision.broken)
    plan.actions += _spaced(_tool_frames(decision, settings, identity), settings.piece_delay)
    return plan


def _thought_frames(decision: Decision) -> Iterator[bytes]:
    """Text, then its signature, each in frames of their own (§1.4)."""
    if decision.thought:
        parts = [{"text": piece} for piece in frames.pieces(decision.thought, _THOUGHT_PIECE)]
        yield from (frames.encode(("reasoningContentEvent", part)) for part in [*parts, {"signature": "ZW11bGF0ZWQ="}])


def _text_frames(decision: Decision, settings: Settings, identity: Identity) -> Iterator[bytes]:
    events = list(frames.text_events(decision.text, settings.piece_size, identity.model_id))
    shown = events[: decision.broken.pieces] if decision.broken else events
    return map(frames.encode, shown)


def _tool_frames(decision: Decision, settings: Settings, identity: Identity) -> Iterator[bytes]:
    for call in decision.calls:
        written = json.dumps(call.arguments, ensure_ascii=False) if call.arguments else ""
        fragments = frames.pieces(written, settings.fragment_size)
        yield from map(frames.encode, frames.tool_events(next(identity.tool_use_ids), call.name, fragments))


def _spaced(data: Iterable[bytes], seconds: float) -> Iterator[Action]:
    for frame in data:
        if seconds:
            yield Pause(seconds)
        yield Write(frame)


def _breaks(decision: Decision, settings: Settings) -> bool:
    """A text of fewer pieces ends before it can break."""
    return decision.broken is not None and len(decision.text) > (decision.broken.pieces - 1) * settings.piece_size


def _broken(plan: Plan, broken: Break | None) -> Plan:
    by_error = broken is not None and broken.by == "error"
    plan.actions.append(Write(frames.exception_frame("error", _BROKEN)) if by_error else Lose())
    plan.complete = False
    return plan


def tail_actions(conversation: Conversation, decision: Decision, settings: Settings) -> list[Action]:
    """The events that a live stream ends with; token counts and the stop reason only where settings say so."""
    input_tokens = max(1, conversation.size // _CHARACTERS_PER_TOKEN)
    output_tokens = max(1, _written(decision) // _CHARACTERS_PER_TOKEN)
    percentage = round(100 * (input_tokens + output_tokens) / CONTEXT_WINDOW, 4)
    credits = round(0.01 + (input_tokens + 5 * output_tokens) / 1_000_000, 6)
    events = list(frames.tail_events(percentage, credits)) if settings.tail else []
    if metadata := _metadata(decision, settings, input_tokens, output_tokens, percentage):
        events.append(("metadataEvent", metadata))
    return [Write(frames.encode(event)) for event in events]


def _written(decision: Decision) -> int:
    return len(decision.text) + sum(len(json.dumps(call.arguments)) for call in decision.calls)


def _metadata(
    decision: Decision, settings: Settings, input_tokens: int, output_tokens: int, percentage: float
) -> dict[str, object]:
    """`stopReason` is newer than the published client, which drops it."""
    metadata: dict[str, object] = {}
    if settings.token_usage:
        metadata["tokenUsage"] = {
            "uncachedInputTokens": input_tokens,
            "outputTokens": output_tokens,
            "totalTokens": input_tokens + output_tokens,
            "cacheReadInputTokens": 0,
            "cacheWriteInputTokens": 0,
            "contextUsagePercentage": percentage,
        }
    if decision.cut:
        metadata["stopReason"] = "MAX_TOKENS"
    elif settings.stop_reason:
        metadata["stopReason"] = "TOOL_USE" if decision.calls else "END_TURN"
    return metadata
