"""What the emulated model answers, decided by the conversation alone.

In: a conversation, and the fault counters, which live as long as the emulator. Out: a Decision. Refuses to know who
asks: no client name, no header, no key. With the directives it is a table, so every test has one right answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cw_proxy.emulator.conversation import Conversation, Turn
from cw_proxy.emulator.directives import TOOL_KINDS, Directive, Step, locate, remembered_tokens, system_tokens
from cw_proxy.emulator.toolbox import ToolCall, call_for, finish, finishing_tool

NO_DIRECTIVE = (
    "This is the cw-proxy emulator: no model is behind it. It obeys fixed sentences, for example: "
    '"count from 1 to 20", "reply with exactly the token PONG", "answer with the json {"a":1}", '
    '"fault 429 times 1 id X", "play the script slow" (or exception, cut-in-frame, repeated-deltas, ...).'
)
_MAX_RESULTS = 4000


@dataclass(frozen=True, slots=True)
class Break:
    """The stream ends after so many pieces of text."""

    pieces: int
    by: Literal["drop", "error"]


@dataclass(frozen=True, slots=True)
class Decision:
    """`fault`, a status class, stands alone: then there is nothing else. `cut`: the text was longer than allowed."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    fault: int | None = None
    broken: Break | None = None
    thought: str = ""
    cut: bool = False


def decide(conversation: Conversation, faults: dict[str, int]) -> Decision:
    located = locate(conversation.turns)
    if located is None:
        return Decision(NO_DIRECTIVE)
    index, steps = located
    directives = [directive for step in steps for directive in step]
    spoken, fault = _spoken(directives, conversation.turns, index, faults)
    if fault is not None:
        return Decision(fault=fault)
    broken = next((_break(directive) for directive in reversed(directives) if directive.kind == "break"), None)
    text, calls = _act(conversation, index, steps, spoken)
    return Decision(text, calls, None, broken)


def _spoken(
    directives: Step, turns: Sequence[Turn], index: int, faults: dict[str, int]
) -> tuple[list[str], int | None]:
    """The texts of the directives that are answered with text; or the fault that comes before them."""
    texts = []
    for directive in directives:
        if directive.kind == "fault":
            status, times, name = directive.args
            if faults.get(name, 0) < int(times):
                faults[name] = faults.get(name, 0) + 1
                return [], int(status)
            texts.append(f"recovered-{name}")
        elif (text := _text(directive, turns, index)) is not None:
            texts.append(text)
    return texts, None


def _text(directive: Directive, turns: Sequence[Turn], index: int) -> str | None:
    match directive.kind:
        case "say":
            return str(directive.args[0])
        case "reverse":
            return str(directive.args[0])[::-1]
        case "count":
            return " ".join(map(str, range(1, int(directive.args[0]) + 1)))
        case "json":
            return json.dumps(directive.args[0], separators=(",", ":"), ensure_ascii=False)
        case "recall":
            return "remembered: " + ",".join(remembered_tokens(turns))
        case "system":
            return "system: " + (system_tokens(turns) or ["none"])[-1]
        case "image":
            return _described_images(turns[index:])
        case _:
            return None


def _described_images(turns: Sequence[Turn]) -> str:
    images = [image for turn in turns for image in turn.images]
    return f"images={len(images)}" + "".join(f" {image.format}/{image.size}/{image.digest}" for image in images)


def _break(directive: Directive) -> Break:
    return Break(int(directive.args[0]), "drop" if directive.args[1].lower() == "drop" else "error")


def _act(
    conversation: Conversation, index: int, steps: list[Step], texts: list[str]
) -> tuple[str, tuple[ToolCall, ...]]:
    """Every step with tool directives is one round trip; while one is left, only its calls are made."""
    results, answered = _answered(conversation.turns[index + 1 :])
    round_trips = [[one for one in step if one.kind in TOOL_KINDS] for step in steps]
    todo = [step for step in round_trips if step]
    if answered < len(todo):
        outcomes = [_attempt(directive, conversation) for directive in todo[answered]]
        if calls := tuple(one for one in outcomes if isinstance(one, ToolCall)):
            return "", calls
        texts = [*texts, *(str(one) for one in outcomes)]
    if results:
        texts = [*texts, "done: " + " | ".join(results)[:_MAX_RESULTS]]
    return _conclude(conversation, " ".join(filter(None, texts)) or "ok")


def _attempt(directive: Directive, conversation: Conversation) -> ToolCall | str:
    if call := call_for(directive, conversation.tools):
        return call
    if directive.kind == "create" and not conversation.tools:
        path, content = directive.args
        return f"{path}\n```\n{content}\n```\n"
    return f"no-usable-tool-for-{directive.kind}"


def _conclude(conversation: Conversation, text: str) -> tuple[str, tuple[ToolCall, ...]]:
    """Agents that end by a tool call get their last word as one."""
    tool = finishing_tool(conversation.tools)
    if tool is None:
        return text, ()
    return "" if tool.properties else text, (finish(tool, text),)


def _answered(later: Sequence[Turn]) -> tuple[list[str], int]:
    """Tool results after the directive, and how many assistant turns they answer."""
    results = [result for turn in later for result in turn.results]
    if results:
        return results, sum(bool(turn.results) for turn in later)
    observations = list(_observations(later))
    return observations, len(observations)


def _observations(later: Sequence[Turn]) -> Iterator[str]:
    """Agents without tool messages write what they saw as user text after an assistant turn."""
    spoke = False
    for turn in later:
        if turn.role == "assistant":
            spoke = True
        elif spoke and turn.text:
            yield turn.text
            spoke = False
