"""Tools that Anthropic defines and the client runs: the schemas that its API adds by itself.

In: a tool's type and members. Out: a Tool, or None for a type that is none of these. Refuses to know how such a tool is
run: the calls go to the client as any others do.
"""

from __future__ import annotations

from typing import Any

from cw_proxy.model import Tool
from cw_proxy.protocols.anthropic_messages import shapes

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_POINT = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
_FILE = {
    "path": _TEXT,
    "file_text": {**_TEXT, "description": "For create: the file's whole content."},
    "old_str": {**_TEXT, "description": "For str_replace: the text to replace, which must stand there once."},
    "new_str": {**_TEXT, "description": "For str_replace: what replaces it."},
    "insert_line": {**_NUMBER, "description": "For insert: the line after which the text goes; 0 is the beginning."},
    "insert_text": {**_TEXT, "description": "For insert: the text."},
    "view_range": {**_POINT, "description": "For view: the first and the last line; -1 is the end."},
}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _choice(*values: str) -> dict[str, Any]:
    return {**_TEXT, "enum": list(values)}


# The beginning of the type, which a date follows: what the tool is for, and what it takes.
_TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "bash_": (
        "Runs a command in a bash shell that stays open from call to call. `restart` starts it afresh.",
        _object([], command=_TEXT, restart={"type": "boolean"}),
    ),
    "text_editor_": (
        "Views, creates and edits text files. Paths are absolute.",
        _object(["command", "path"], command=_choice("view", "create", "str_replace", "insert"), **_FILE),
    ),
    "memory_": (
        "Keeps notes in files below /memories, which outlive this chat. Look there before you begin.",
        _object(
            ["command"],
            command=_choice("view", "create", "str_replace", "insert", "delete", "rename"),
            **_FILE,
            old_path={**_TEXT, "description": "For rename."},
            new_path={**_TEXT, "description": "For rename."},
        ),
    ),
    "computer_2": (
        "Uses the mouse and the keyboard of a computer, and looks at its screen.",
        _object(
            ["action"],
            action=_choice(
                *("screenshot", "cursor_position", "key", "hold_key", "type", "wait", "scroll", "zoom", "mouse_move"),
                *("left_click", "right_click", "middle_click", "double_click", "triple_click", "left_click_drag"),
                *("left_mouse_down", "left_mouse_up"),
            ),
            coordinate={**_POINT, "description": "x and y in pixels from the left upper corner."},
            start_coordinate={**_POINT, "description": "For left_click_drag: where it begins."},
            text={**_TEXT, "description": "The text to type, or the keys to press."},
            scroll_direction=_choice("up", "down", "left", "right"),
            scroll_amount=_NUMBER,
            duration={"type": "number", "description": "Seconds, for hold_key and wait."},
            region={"type": "array", "items": _NUMBER, "minItems": 4, "maxItems": 4, "description": "For zoom."},
        ),
    ),
}


def client_tool(said: shapes.OfferedTool) -> Tool | None:
    for beginning, (description, schema) in _TOOLS.items():
        if said.type and said.type.startswith(beginning):
            return Tool(said.name or beginning.partition("_")[0], description + _screen(said), schema)
    return None


def _screen(said: shapes.OfferedTool) -> str:
    if not (said.display_width_px and said.display_height_px):
        return ""
    return f" The screen is {said.display_width_px} pixels wide and {said.display_height_px} high."
