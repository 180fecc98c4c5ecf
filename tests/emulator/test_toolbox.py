"""Which tool carries out a directive."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.emulator.conversation import Tool
from cw_proxy.emulator.directives import Directive
from cw_proxy.emulator.toolbox import ToolCall, call_for, finish, finishing_tool, simplified

CREATE = Directive("create", ("a b.txt", "it's"))
PATCH = "*** Begin Patch\n*** Add File: a b.txt\n+it's\n*** End Patch\n"


def a_tool(name: str, *properties: str, **more: Any) -> Tool:
    return Tool(name, {"properties": {**{one: {"type": "string"} for one in properties}, **more}})


@pytest.mark.parametrize(
    ("directive", "tools", "call"),
    [
        (
            CREATE,
            [a_tool("bash", "cmd"), a_tool("Write-File", "path", "body")],
            ("Write-File", {"path": "a b.txt", "body": "it's"}),
        ),
        (
            CREATE,
            [a_tool("write", "path"), a_tool("bash", "cmd")],
            ("bash", {"cmd": "printf '%s' 'it'\"'\"'s' > 'a b.txt'"}),
        ),
        (CREATE, [a_tool("apply_patch", "input")], ("apply_patch", {"input": PATCH})),
        (
            CREATE,
            [a_tool("str_replace_editor", "path", "file_text", command={"enum": ["view", "create"]})],
            ("str_replace_editor", {"path": "a b.txt", "file_text": "it's", "command": "create"}),
        ),
        (Directive("read", ("f",)), [a_tool("readFile", "filename")], ("readFile", {"filename": "f"})),
        (Directive("read", ("f g",)), [a_tool("exec", "script")], ("exec", {"script": "cat 'f g'"})),
        (
            Directive("run", ("ls",)),
            [a_tool("shell", command={"type": "array"})],
            ("shell", {"command": ["bash", "-lc", "ls"]}),
        ),
        (
            Directive("run", ("ls",)),
            [a_tool("terminal", commands={"type": "array"})],
            ("terminal", {"commands": ["ls"]}),
        ),
        (
            Directive("weather", ("Rome ",)),
            [a_tool("the_Weather", "where", "unit")],
            ("the_Weather", {"where": "Rome"}),
        ),
        (Directive("call", ("get-it", {"x": 1})), [a_tool("getIt"), a_tool("get-it")], ("get-it", {"x": 1})),
        (Directive("call", ("get-it", {})), [a_tool("GetIt")], ("GetIt", {})),
    ],
)
def test_choice(directive: Directive, tools: list[Tool], call: tuple[str, dict[str, Any]]) -> None:
    assert call_for(directive, tools) == ToolCall(*call)


@pytest.mark.parametrize("kind", ["create", "read", "run", "weather", "call"])
def test_no_tool_is_fit(kind: str) -> None:
    args = ("x", {}) if kind == "call" else ("x", "y")
    assert call_for(Directive(kind, args), [a_tool("other", "path"), a_tool("weather")]) is None


def test_the_finishing_tool() -> None:
    tool = finishing_tool([a_tool("x"), a_tool("attempt_completion", "result")])
    assert tool is not None
    assert finish(tool, "said") == ToolCall("attempt_completion", {"result": "said"})
    assert finish(a_tool("submit"), "said") == ToolCall("submit", {})
    assert finishing_tool([a_tool("x")]) is None


def test_simplified() -> None:
    assert simplified("Str_Replace-Editor2") == "strreplaceeditor2"
