"""A decision as a plan."""

from __future__ import annotations

import itertools
import json
from typing import Any

from emulator_client import a_body

from cw_proxy.emulator.answer import Identity, plan_answer, tail_actions
from cw_proxy.emulator.conversation import read_conversation
from cw_proxy.emulator.decision import Break, Decision
from cw_proxy.emulator.script import Lose, Pause, Plan, Write
from cw_proxy.emulator.settings import Settings
from cw_proxy.emulator.toolbox import ToolCall
from cw_proxy.wire.eventstream import FrameDecoder

CONVERSATION = read_conversation(a_body("x" * 400))


def plan(decision: Decision, **settings: Any) -> Plan:
    ids = (f"tooluse_{number}" for number in itertools.count(1))
    return plan_answer(decision, CONVERSATION, Settings(**settings), Identity("c", "u", ids, "m"))


def events(actions: list[Any]) -> list[tuple[str, Any]]:
    data = b"".join(action.data for action in actions if isinstance(action, Write))
    return [(str(frame.headers.get(":event-type")), json.loads(frame.payload)) for frame in FrameDecoder().feed(data)]


def test_text_in_pieces_after_the_metadata() -> None:
    seen = events(plan(Decision("1 2 3 4 5")).actions)
    assert seen[0] == ("messageMetadataEvent", {"conversationId": "c", "utteranceId": "u"})
    assert [payload["content"] for _, payload in seen[1:]] == ["1 2 3 4", " 5"]
    assert len(events(plan(Decision("1 2"), message_metadata=False, piece_size=1).actions)) == 3


def test_tools_in_fragments_each_with_its_id() -> None:
    calls = (ToolCall("a", {"city": "Paris"}), ToolCall("b", {}))
    seen = [payload for name, payload in events(plan(Decision("", calls)).actions) if name == "toolUseEvent"]
    first = [one for one in seen if one["toolUseId"] == "tooluse_1"]
    assert json.loads("".join(one.get("input", "") for one in first)) == {"city": "Paris"}
    assert first[0] == {"toolUseId": "tooluse_1", "name": "a"}
    assert seen[-2:] == [{"toolUseId": "tooluse_2", "name": "b"}, {"toolUseId": "tooluse_2", "name": "b", "stop": True}]


def test_a_break_by_drop_and_by_error() -> None:
    dropped = plan(Decision("x" * 70, broken=Break(2, "drop")), message_metadata=False)
    assert (len(events(dropped.actions)), dropped.actions[-1], dropped.complete) == (2, Lose(), False)
    broken = plan(Decision("x" * 70, broken=Break(2, "error")), message_metadata=False)
    assert events(broken.actions)[-1][1]["reason"] == "MODEL_TEMPORARILY_UNAVAILABLE"


def test_a_text_with_fewer_pieces_ends_before_it_breaks() -> None:
    assert plan(Decision("x" * 14, broken=Break(3, "drop"))).complete
    assert not plan(Decision("x" * 15, broken=Break(3, "drop"))).complete


def test_a_fault_is_a_refusal() -> None:
    refusal = plan(Decision(fault=429)).refusal
    assert refusal is not None
    assert refusal.name == "ThrottlingException"


def test_a_pause_before_each_piece() -> None:
    actions = plan(Decision("x" * 14), piece_delay=0.5).actions
    assert [type(action) for action in actions] == [Write, Pause, Write, Pause, Write]


def test_the_tail_follows_the_settings() -> None:
    def names(decision: Decision, **settings: Any) -> dict[str, Any]:
        return dict(events(list(tail_actions(CONVERSATION, decision, Settings(**settings)))))

    assert list(names(Decision("x"))) == ["contextUsageEvent", "meteringEvent"]
    assert names(Decision("x"), tail=False) == {}
    assert names(Decision("x"), tail=False, stop_reason=True) == {"metadataEvent": {"stopReason": "END_TURN"}}
    called = names(Decision(calls=(ToolCall("a", {}),)), token_usage=True, stop_reason=True)["metadataEvent"]
    assert called["stopReason"] == "TOOL_USE"
    usage = called["tokenUsage"]
    assert usage["uncachedInputTokens"] == 100
    assert usage["totalTokens"] == usage["uncachedInputTokens"] + usage["outputTokens"]
    assert usage["contextUsagePercentage"] == round(100 * usage["totalTokens"] / 200_000, 4)
