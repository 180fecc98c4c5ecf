"""What the service wants of a payload: conversion.md's twenty rules, as data.

In: the JSON of a payload, ours or anyone's. Out: for each broken rule its number, the JSON path, the reason. Refuses
to know Requests and how a payload was made: it shares no line with the builder, so that each checks the other.

Rules 2, 15 to 17 and 19 say how to build; what stands here of them is what a payload can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from cw_proxy.backends.codewhisperer import rules_tools as tools
from cw_proxy.backends.codewhisperer import rules_turns as turns
from cw_proxy.backends.codewhisperer.rules_turns import Breach

Json = Any


class Rule(msgspec.Struct, frozen=True):
    number: int
    title: str
    check: Callable[[Json], Iterator[Breach]]


class Broken(msgspec.Struct, frozen=True):
    rule: int
    path: str
    reason: str


RULES = (
    Rule(1, "user and assistant alternate; the current message is the user's", turns.order),
    Rule(2, "turns of one role are one", turns.merged),
    Rule(3, "no content is blank, but beside tool results", turns.not_blank),
    Rule(4, "each tool use has one result, in the next turn", tools.answered),
    Rule(5, "each tool of the history is offered", tools.known),
    Rule(6, "a history with tools has specifications", tools.specified),
    Rule(7, "names are legal and different", tools.named),
    Rule(8, "a description has 1 to 10240 characters", tools.described),
    Rule(9, "a schema's root is a plain object", tools.schemas),
    Rule(10, "the body is not larger than the service takes", turns.size),
    Rule(11, "images and documents are what they say, at most ten images", turns.media),
    Rule(12, "MANUAL; tools and model only with the current message", turns.state),
    Rule(13, "a result's status is success or error", tools.statuses),
    Rule(14, "a use's input is an object", tools.inputs),
    Rule(15, "profileArn is an ARN of a profile", turns.profile),
    Rule(16, "no text is longer than any window", turns.lengths),
    Rule(17, "each part of a result is one text or one JSON", tools.blocks),
    Rule(18, "no tool result is empty", tools.not_empty),
    Rule(19, "content is text, also beside tool results", turns.texts),
    Rule(20, "there is no system role", turns.roles),
)


def broken(payload: Json, most_bytes: int = turns.MOST_BYTES) -> list[Broken]:
    """All of them, in the order of the rules. Services differ in the largest body they take (rule 10)."""
    found: list[Broken] = []
    for rule in RULES:
        breaches = turns.size(payload, most_bytes) if rule.check is turns.size else rule.check(payload)
        found += [Broken(rule.number, path, reason) for path, reason in breaches]
    return found
