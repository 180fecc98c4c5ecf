"""Is a request one that the service would take? The order of turns, and the fields around them.

In: a decoded body and the settings. Out: nothing, or a Refusal raised, whose `detail` says where and why. Refuses to
share a line with the proxy's own rules: two independent readings of one contract check each other.
(upstream.md §1.3, §1.6)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cw_proxy.emulator.checks_messages import check_assistant, check_user
from cw_proxy.emulator.checks_tools import check_results, check_tool_names_known
from cw_proxy.emulator.conversation import read_conversation
from cw_proxy.emulator.fields import Object, matching, optional_object, optional_text, required_object
from cw_proxy.emulator.loose import as_list, as_object, as_text
from cw_proxy.emulator.model_fields import check_model_fields
from cw_proxy.emulator.refusal import Refusal, improper
from cw_proxy.emulator.settings import Settings

_TRIGGERS = ("MANUAL", "DIAGNOSTIC", "INLINE_CHAT")
_TASK_TYPES = ("vibe", "spectask")
_PROFILE_ARN = r"arn:aws[a-z-]*:(codewhisperer|transform):[a-z0-9-]+:\d{12}:profile/[A-Za-z0-9]{12}"
_UUID = r"[0-9a-fA-F-]{36}"
TOO_LONG = Refusal("ValidationException", "Input is too long.", "CONTENT_LENGTH_EXCEEDS_THRESHOLD")
_USER, _ASSISTANT = "userInputMessage", "assistantResponseMessage"


def check_request(body: Object, settings: Settings) -> None:
    matching(body, "profileArn", _PROFILE_ARN, "", most=950)
    fields = optional_object(body, "additionalModelRequestFields", "") or {}
    state = required_object(body, "conversationState", "")
    path = "conversationState"
    _check_state(state, path)
    history = _history(state, path)
    current = required_object(state, "currentMessage", path)
    _check_member(current, _USER, f"{path}.currentMessage")
    _check_order(history, path)
    for index, entry in enumerate(history):
        _check_entry(entry, f"{path}.history[{index}]", settings)
    _check_entry(current, f"{path}.currentMessage", settings)
    check_model_fields(as_text(as_object(current[_USER]).get("modelId")), fields)
    _check_pairing([*history, current], path)
    check_tool_names_known(history, current, f"{path}.history")
    if read_conversation(body).size > settings.overflow_threshold:
        raise TOO_LONG


def _check_state(state: Object, path: str) -> None:
    if state.get("chatTriggerType") not in _TRIGGERS:
        raise improper(f"{path}.chatTriggerType is {state.get('chatTriggerType')!r}")
    conversation_id = optional_text(state, "conversationId", path)
    if conversation_id is not None and not 1 <= len(conversation_id) <= 128:
        raise improper(f"{path}.conversationId has {len(conversation_id)} characters", "INVALID_CONVERSATION_ID")
    matching(state, "workspaceId", _UUID, path)
    matching(state, "agentContinuationId", _UUID, path)
    matching(state, "customizationArn", r"arn:.+", path, most=1224)
    if "agentTaskType" in state and state["agentTaskType"] not in _TASK_TYPES:
        raise improper(f"{path}.agentTaskType is {state['agentTaskType']!r}")


def _history(state: Object, path: str) -> list[Any]:
    history = state.get("history")
    if history is not None and not isinstance(history, list):
        raise improper(f"{path}.history is not a list")
    return history or []


def _check_order(history: Sequence[Any], path: str) -> None:
    """User and assistant take turns; the user starts, the assistant ends."""
    for index, entry in enumerate(history):
        _check_member(entry, _ASSISTANT if index % 2 else _USER, f"{path}.history[{index}]")
    if len(history) % 2:
        raise improper(f"{path}.history ends with a userInputMessage")
    if _results_of(history[0]) if history else False:
        raise improper(f"{path}.history[0] carries tool results", "TOOL_USE_RESULT_MISMATCH")


def _check_member(entry: Any, wanted: str, path: str) -> None:
    """A ChatMessage is a union: exactly one member, here the one whose turn it is."""
    members = [name for name in (_USER, _ASSISTANT) if as_object(entry).get(name) is not None]
    if members != [wanted]:
        raise improper(f"{path} has {members or 'no message'} where {wanted} belongs")


def _check_entry(entry: Object, path: str, settings: Settings) -> None:
    if entry.get(_USER) is not None:
        check_user(required_object(entry, _USER, path), f"{path}.{_USER}", settings.models)
    else:
        check_assistant(required_object(entry, _ASSISTANT, path), f"{path}.{_ASSISTANT}")


def _check_pairing(entries: Sequence[Object], path: str) -> None:
    """Each tool use is answered by exactly one result in the user message right after it, and by nothing else."""
    uses: list[Any] = []
    for index, entry in enumerate(entries):
        where = f"{path}.history[{index}]" if index < len(entries) - 1 else f"{path}.currentMessage"
        if entry.get(_ASSISTANT) is not None:
            uses = as_list(as_object(entry[_ASSISTANT]).get("toolUses"))
        else:
            check_results(uses, _results_of(entry), where)
            uses = []


def _results_of(entry: Object) -> list[Any]:
    context = as_object(as_object(entry.get(_USER)).get("userInputMessageContext"))
    return as_list(context.get("toolResults"))
