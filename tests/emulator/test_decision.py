"""The emulated model decides as the published rules' reference implementation does.

`tests/data/agent_decisions.json` holds what the reference decided on requests made from seeds. Where CLIENTS_DIR names
the folder of the reference, it is asked directly, on more of them. `PYTHONPATH=.:tests python
tests/emulator/test_decision.py DIR` renews the recording.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
from decision_cases import Body, make_case

from cw_proxy.emulator.conversation import read_conversation
from cw_proxy.emulator.decision import NO_DIRECTIVE, Break, decide

RECORDED = Path(__file__).parent.parent / "data" / "agent_decisions.json"
RECORDED_SEEDS, ASKED_SEEDS = 150, 5000


def ours(body: Body, faults: dict[str, int]) -> Body:
    decision = decide(read_conversation(body), faults)
    return {
        "text": "ok" if decision.text == NO_DIRECTIVE else decision.text,
        "calls": [[call.name, call.arguments] for call in decision.calls],
        "error": decision.fault,
        "break": [decision.broken.pieces, decision.broken.by] if decision.broken else None,
    }


def theirs(reference: ModuleType, body: Body, faults: dict[str, int]) -> Body:
    decided = reference.decide(*reference.conv_from_codewhisperer(body), faults)
    decided["calls"] = [[tool["name"], arguments] for tool, arguments in decided["calls"]]
    decided["break"] = list(decided["break"]) if decided["break"] else None
    return dict(decided)


def load_reference(folder: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location("agent_script", Path(folder) / "agent_script.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def record(folder: str) -> None:
    reference, faults = load_reference(folder), {}
    lines = [json.dumps(theirs(reference, make_case(Random(seed)), faults)) for seed in range(RECORDED_SEEDS)]
    RECORDED.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def test_as_recorded() -> None:
    faults: dict[str, int] = {}
    for seed, expected in enumerate(json.loads(RECORDED.read_text())):
        assert ours(make_case(Random(seed)), faults) == expected, f"seed {seed}"


@pytest.mark.skipif("CLIENTS_DIR" not in os.environ, reason="CLIENTS_DIR does not name the reference's folder")
def test_as_the_reference_decides() -> None:
    reference = load_reference(os.environ["CLIENTS_DIR"])
    our_faults: dict[str, int] = {}
    their_faults: dict[str, int] = {}
    for seed in range(ASKED_SEEDS):
        body = make_case(Random(seed))
        assert ours(body, our_faults) == theirs(reference, body, their_faults), f"seed {seed}"
    assert our_faults == their_faults


def asked(text: str, faults: dict[str, int] | None = None, **context: Any) -> Any:
    message = {"content": text, "userInputMessageContext": context}
    body = {"conversationState": {"currentMessage": {"userInputMessage": message}}}
    return decide(read_conversation(body), {} if faults is None else faults)


def test_without_a_directive_it_says_what_it_is() -> None:
    assert asked("Hello!").text == NO_DIRECTIVE
    assert "no model" in NO_DIRECTIVE


def test_a_fault_is_used_up() -> None:
    faults: dict[str, int] = {}
    decided = [asked("fault 429 times 2 id x", faults) for _ in range(3)]
    assert [one.fault for one in decided] == [429, 429, None]
    assert decided[2].text == "recovered-x"


def test_a_break_beside_a_text() -> None:
    decision = asked("count from 1 to 9, break the stream after 4 pieces by drop")
    assert (decision.text, decision.broken) == ("1 2 3 4 5 6 7 8 9", Break(4, "drop"))


def test_steps_are_called_one_after_the_other() -> None:
    text = "call tool one with {} THEN call tool two with {}"
    tools = [{"toolSpecification": {"name": name, "inputSchema": {"json": {}}}} for name in ("one", "two")]
    current: Body = {"content": text, "userInputMessageContext": {"tools": tools}}
    assert [call.name for call in asked(text, tools=tools).calls] == ["one"]
    history: list[Body] = []
    for expected in (["two"], []):
        history += [{"userInputMessage": current}, {"assistantResponseMessage": {"content": "-"}}]
        current = {
            "content": "",
            "userInputMessageContext": {"tools": tools, "toolResults": [{"content": [{"text": "r"}]}]},
        }
        state = {"history": history, "currentMessage": {"userInputMessage": current}}
        decision = decide(read_conversation({"conversationState": state}), {})
        assert [call.name for call in decision.calls] == expected
    assert decision.text == "done: r | r"


if __name__ == "__main__":
    record(sys.argv[1])
