"""What a user's text tells the emulated model to do.

In: text. Out: steps, each a list of directives. Refuses to know how a directive is carried out.
Directives may stand anywhere: clients wrap the prompt in reminders, environment notes, XML. `THEN` starts a new step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cw_proxy.emulator.conversation import Turn

_TOKEN = r"([^\s\"'`<>]+)"  # noqa: S105 - a run of characters, not a secret
# `weather` minds the case of the city: its capital is what ends "in" and starts the name.
_PATTERNS = {
    "fault": re.compile(r"fault (\d{3}) times (\d+) id " + _TOKEN, re.I),
    "break": re.compile(r"break the stream after (\d+) pieces by (drop|error)", re.I),
    "say": re.compile(r"reply with exactly the token " + _TOKEN, re.I),
    "count": re.compile(r"count from 1 to (\d+)", re.I),
    "recall": re.compile(r"list every remembered token", re.I),
    "system": re.compile(r"state the system token", re.I),
    "image": re.compile(r"describe the attached image", re.I),
    "create": re.compile(r"create file " + _TOKEN + r" with content " + _TOKEN, re.I),
    "read": re.compile(r"read file " + _TOKEN + r" and repeat its content", re.I),
    "run": re.compile(r"run command `([^`\n]+)` and repeat its output", re.I),
    "call": re.compile(r"call tool ([\w.:-]+) with (?=\{)", re.I),
    "json": re.compile(r"answer with the json (?=\{)", re.I),
    "reverse": re.compile(r"reply with the reversed token " + _TOKEN, re.I),
    "weather": re.compile(r"(?i:what(?:'s| is) the weather (?:like )?in) ([A-Z][A-Za-z -]*)"),
}
TOOL_KINDS = frozenset({"create", "read", "run", "call", "weather"})
_WITH_JSON = frozenset({"call", "json"})
_OF_TOKENS = frozenset({"say", "reverse", "create", "read", "fault"})
_STEP = re.compile(r"\bTHEN\b")
_REMEMBERED = re.compile(r"remember the token " + _TOKEN, re.I)
_SYSTEM_TOKEN = re.compile(r"the system token is " + _TOKEN, re.I)
_SCRIPT = re.compile(r"play the script ([\w.-]+)", re.I)


@dataclass(frozen=True, slots=True)
class Directive:
    kind: str
    args: tuple[Any, ...] = ()


Step = list[Directive]


def parse(text: str) -> list[Step]:
    """A directive that stands in the text more than once counts once."""
    borders = [found.start() for found in _STEP.finditer(text)]
    steps: dict[int, Step] = {}
    seen: set[str] = set()
    for position, directive in sorted(_directives(text), key=lambda found: found[0]):
        key = json.dumps([directive.kind, directive.args])
        if key not in seen:
            seen.add(key)
            steps.setdefault(sum(border < position for border in borders), []).append(directive)
    return list(steps.values())


def _directives(text: str) -> Iterator[tuple[int, Directive]]:
    for kind, pattern in _PATTERNS.items():
        for found in pattern.finditer(text):
            args: tuple[Any, ...] = found.groups()
            if kind in _OF_TOKENS:
                args = tuple(map(bare, args))
            elif kind in _WITH_JSON:
                try:
                    args = (*args, json.JSONDecoder().raw_decode(text, found.end())[0])
                except ValueError:
                    continue
            yield found.start(), Directive(kind, args)


def bare(token: str) -> str:
    """A sentence's punctuation is not part of the token that ends it."""
    return token.rstrip(".,;!?")


def locate(turns: Sequence[Turn]) -> tuple[int, list[Step]] | None:
    """Index and steps of the newest user turn that holds a directive."""
    for index in range(len(turns) - 1, -1, -1):
        if turns[index].role == "user" and (steps := parse(turns[index].text)):
            return index, steps
    return None


def remembered_tokens(turns: Sequence[Turn]) -> list[str]:
    return [bare(token) for turn in turns if turn.role == "user" for token in _REMEMBERED.findall(turn.text)]


def system_tokens(turns: Sequence[Turn]) -> list[str]:
    return [bare(token) for turn in turns for token in _SYSTEM_TOKEN.findall(turn.text)]


def script_name(turns: Sequence[Turn]) -> str | None:
    """The script that the newest user turn asks for."""
    newest = next((turn.text for turn in reversed(turns) if turn.role == "user"), "")
    found = _SCRIPT.findall(newest)
    return bare(found[-1]).rstrip("-") if found else None
