"""Tools that Anthropic defines and clients run: each has a schema here, as the service knows none of them."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from messages import ask

NAMES = {
    "bash_20250124": "bash",
    "bash_20241022": "bash",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250728": "str_replace_based_edit_tool",
    "memory_20250818": "memory",
    "computer_20250124": "computer",
    "computer_20251124": "computer",
}
CALLS = {
    "bash": [{"command": "ls"}, {"restart": True}],
    "str_replace_based_edit_tool": [
        {"command": "view", "path": "/a", "view_range": [1, -1]},
        {"command": "create", "path": "/a", "file_text": "x"},
        {"command": "str_replace", "path": "/a", "old_str": "x", "new_str": "y"},
        {"command": "insert", "path": "/a", "insert_line": 0, "insert_text": "z"},
    ],
    "memory": [{"command": "rename", "old_path": "/memories/a", "new_path": "/memories/b"}],
    "computer": [{"action": "left_click", "coordinate": [1, 2]}, {"action": "screenshot"}],
}


@pytest.mark.parametrize("kind", NAMES)
def test_each_is_offered_under_its_name_with_a_schema(kind: str) -> None:
    [tool] = ask(tools=[{"type": kind, "name": NAMES[kind]}]).request.tools
    assert tool.name == NAMES[kind]
    assert tool.description
    Draft202012Validator.check_schema(tool.schema)
    for call in CALLS.get(tool.name, []):
        Draft202012Validator(tool.schema).validate(call)
    assert not Draft202012Validator(tool.schema).is_valid({"command": 5, "action": 5})


def test_a_name_may_be_left_out() -> None:
    assert [tool.name for tool in ask(tools=[{"type": "bash_20250124"}]).request.tools] == ["bash"]


def test_a_screen_has_a_size() -> None:
    screen = {"type": "computer_20250124", "name": "computer", "display_width_px": 800, "display_height_px": 600}
    [tool] = ask(tools=[screen]).request.tools
    assert "800 pixels wide and 600 high" in tool.description
