"""Which of the offered tools carries out a directive, and with which arguments.

In: a directive and the offered tools. Out: a tool call, or None where no tool is fit. Refuses to know the conversation.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from cw_proxy.emulator.arguments import COMMAND_KEYS, CONTENT_KEYS, PATCH_KEYS, PATH_KEYS, fill, put, resolve
from cw_proxy.emulator.conversation import Tool
from cw_proxy.emulator.directives import Directive
from cw_proxy.emulator.loose import Object, as_list

Tools = Sequence[Tool]
# Names in lower case without anything but letters and digits, most wanted first.
_WRITE = [
    "write",
    "writefile",
    "writetofile",
    "createfile",
    "createnewfile",
    "newfile",
    "savefile",
    "fswrite",
    "strreplaceeditor",
    "strreplacebasededittool",
]
_READ = ["read", "readfile", "readfiles", "viewfile", "view", "openfile", "fsread", "readmanyfiles"]
_SHELL = [
    "bash",
    "shell",
    "execcommand",
    "runshellcommand",
    "executecommand",
    "runcommand",
    "runcommands",
    "runterminalcommand",
    "shellcommand",
    "terminal",
    "executebash",
    "exec",
]
_FINISH = ["attemptcompletion", "finalanswer", "finish", "submit", "completetask", "taskdone", "complete"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: Object


def call_for(directive: Directive, tools: Tools) -> ToolCall | None:
    args = directive.args
    match directive.kind:
        case "create":
            return _write(tools, *args)
        case "read":
            return _read(tools, args[0])
        case "run":
            return _shell(tools, args[0])
        case "weather":
            return _weather(tools, args[0].strip())
        case _:
            return _named(tools, *args)


def finishing_tool(tools: Tools) -> Tool | None:
    return _first(tools, _FINISH)


def finish(tool: Tool, text: str) -> ToolCall:
    name = next(iter(tool.properties), None)
    return ToolCall(tool.name, fill(tool, {name: text} if name else {}))


def simplified(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _first(tools: Tools, names: Sequence[str]) -> Tool | None:
    return next((tool for name in names for tool in tools if simplified(tool.name) == name), None)


def _write(tools: Tools, path: str, content: str) -> ToolCall | None:
    return (
        _write_with_writer(tools, path, content)
        or _shell(tools, f"printf '%s' {shlex.quote(content)} > {shlex.quote(path)}")
        or _patch(tools, path, content)
    )


def _write_with_writer(tools: Tools, path: str, content: str) -> ToolCall | None:
    if (tool := _first(tools, _WRITE)) is None:
        return None
    where, what = put(tool, PATH_KEYS, path), put(tool, CONTENT_KEYS, content)
    if not where or not what:
        return None
    commands = as_list(resolve(tool, tool.properties.get("command")).get("enum"))
    extra = {"command": "create"} if "create" in commands else {}
    return ToolCall(tool.name, fill(tool, {**where, **what, **extra}))


def _patch(tools: Tools, path: str, content: str) -> ToolCall | None:
    tool = _first(tools, ["applypatch"])
    patch = f"*** Begin Patch\n*** Add File: {path}\n+{content}\n*** End Patch\n"
    given = put(tool, PATCH_KEYS, patch) if tool else None
    return ToolCall(tool.name, fill(tool, given)) if tool and given else None


def _read(tools: Tools, path: str) -> ToolCall | None:
    tool = _first(tools, _READ)
    given = put(tool, PATH_KEYS, path) if tool else None
    if tool and given:
        return ToolCall(tool.name, fill(tool, given))
    return _shell(tools, "cat " + shlex.quote(path))


def _shell(tools: Tools, command: str) -> ToolCall | None:
    tool = _first(tools, _SHELL)
    name = next((name for name in COMMAND_KEYS if tool and name in tool.properties), None)
    if tool is None or name is None:
        return None
    wants_array = resolve(tool, tool.properties[name]).get("type") == "array"
    if wants_array and simplified(tool.name) in ("shell", "localshell"):
        # These run the array as it is, without a shell of their own.
        return ToolCall(tool.name, fill(tool, {name: ["bash", "-lc", command]}))
    return ToolCall(tool.name, fill(tool, put(tool, (name,), command) or {name: command}))


def _weather(tools: Tools, city: str) -> ToolCall | None:
    tool = next((tool for tool in tools if "weather" in simplified(tool.name) and tool.properties), None)
    return ToolCall(tool.name, fill(tool, {next(iter(tool.properties)): city})) if tool else None


def _named(tools: Tools, name: str, arguments: Object) -> ToolCall | None:
    exact = next((tool for tool in tools if tool.name == name), None)
    tool = exact or _first(tools, [simplified(name)])
    return ToolCall(tool.name, arguments) if tool else None
