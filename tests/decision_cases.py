"""Requests for the emulated model, made from a seed: directives, tools of many shapes, answers so far.

In: a random generator. Out: request bodies. Refuses to know what the right decision is.
"""

from __future__ import annotations

import base64
from random import Random
from typing import Any

Body = dict[str, Any]
TEXT = {"type": "string"}
DIRECTIVES = [
    "reply with exactly the token PONG-7.",
    "Reply with the reversed token abc123!",
    "count from 1 to 12",
    'answer with the json {"a": 1, "b": [true, null, "é"]} please',
    "answer with the json {broken",
    "list every remembered token",
    "remember the token T-1.",
    "please remember the token T2",
    "the system token is SYS-9.",
    "state the system token",
    "describe the attached image",
    "create file notes/a.txt with content hello-world",
    "read file notes/a.txt and repeat its content",
    "run command `echo hi there` and repeat its output",
    'call tool get_weather with {"city": "Rome"}',
    'call tool Get-Weather with {"city": "Rome", "n": 3}',
    "call tool nothing with {}",
    "What is the weather in Paris?",
    "what's the weather like in New York today",
    "fault 429 times 2 id f-1.",
    "fault 503 times 0 id f2",
    "break the stream after 3 pieces by drop",
    "break the stream after 2 pieces by ERROR",
    "THEN",
    "<env>some words 'reply with exactly the token X'</env>",
    "nothing to do",
    "",
]
TOOLS: list[tuple[str, Body]] = [
    ("get_weather", {"type": "object", "properties": {"city": TEXT}, "required": ["city"]}),
    ("write_file", {"properties": {"path": TEXT, "content": TEXT, "mode": {"enum": ["w", "a"]}}, "required": ["mode"]}),
    (
        "Write",
        {"properties": {"file_path": TEXT, "text": TEXT, "n": {"type": "integer", "minimum": 4}}, "required": ["n"]},
    ),
    (
        "str_replace_editor",
        {
            "properties": {"command": {"enum": ["view", "create"]}, "path": TEXT, "file_text": TEXT},
            "required": ["command", "path"],
        },
    ),
    ("read_files", {"properties": {"paths": {"type": "array", "items": TEXT}}, "required": ["paths"]}),
    (
        "readManyFiles",
        {
            "properties": {"files": {"type": "array", "items": {"$ref": "#/$defs/File"}}},
            "$defs": {
                "File": {
                    "type": "object",
                    "properties": {"path": TEXT, "all": {"type": "boolean"}},
                    "required": ["all"],
                }
            },
        },
    ),
    ("bash", {"properties": {"command": TEXT, "timeout": {"type": ["number", "null"]}}, "required": ["timeout"]}),
    (
        "shell",
        {
            "properties": {"command": {"type": "array", "items": TEXT}, "o": {"type": "object", "required": ["x"]}},
            "required": ["o"],
        },
    ),
    (
        "exec_command",
        {
            "properties": {"cmd": {"anyOf": [TEXT, {"type": "null"}]}, "l": {"type": "array", "minItems": 1}},
            "required": ["l"],
        },
    ),
    (
        "apply_patch",
        {"properties": {"input": TEXT, "flag": {"const": "c"}, "d": {"default": 0}}, "required": ["flag", "d"]},
    ),
    ("attempt_completion", {"properties": {"result": TEXT, "ok": {"type": "boolean"}}, "required": ["result", "ok"]}),
    ("submit", {"type": "object"}),
    ("unrelated", {}),
]
IMAGES = [("png", b"\x89PNG\r\n\x1a\nabc"), ("jpeg", b"\xff\xd8\xff\xe0xyz")]


def below(random: Random, limit: int) -> int:
    """Of all methods only `random()` is promised to give the same numbers in every Python."""
    return int(random.random() * limit)


def make_case(random: Random) -> Body:
    history: list[Body] = []
    for _ in range(below(random, 4)):
        history += [{"userInputMessage": _user(random)}, {"assistantResponseMessage": {"content": "fine"}}]
    current = _user(random)
    tools = sorted(TOOLS, key=lambda _: random.random())[: below(random, len(TOOLS))]
    if tools:
        offered = [{"toolSpecification": {"name": name, "inputSchema": {"json": schema}}} for name, schema in tools]
        current.setdefault("userInputMessageContext", {})["tools"] = offered
    return {"conversationState": {"currentMessage": {"userInputMessage": current}, "history": history}}


def _user(random: Random) -> Body:
    said = random.choices(DIRECTIVES, k=below(random, 4))
    message: Body = {"content": random.choices([" ", "\n", " and "])[0].join(said)}
    if random.random() < 0.4:
        results = [_result(random) for _ in range(1 + below(random, 2))]
        message["userInputMessageContext"] = {"toolResults": results}
        if random.random() < 0.7:
            message["content"] = ""
    if random.random() < 0.2:
        message["images"] = [_image(*one) for one in IMAGES[: 1 + below(random, 2)]]
    return message


def _result(random: Random) -> Body:
    blocks = [{"text": "seen"}, {"json": {"k": [1, "é"]}}, {"text": ""}, {"text": "more\nlines"}]
    return {"toolUseId": "t", "content": random.choices(blocks, k=1 + below(random, 2))}


def _image(kind: str, raw: bytes) -> Body:
    return {"format": kind, "source": {"bytes": base64.b64encode(raw).decode()}}
