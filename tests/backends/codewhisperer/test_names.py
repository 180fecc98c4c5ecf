"""Names for the service: legal, reversible, the same every time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_objects

from cw_proxy.backends.codewhisperer.names import (
    ToolNames,
    call_id,
    document_name,
    hashed,
    is_property,
    legal_properties,
    renamed,
    tool_name,
)

LEGAL = r"[a-zA-Z][a-zA-Z0-9_-]{0,63}"
strange_names = st.text(max_size=100) | st.sampled_from(["ls", "LS", "Ls", "a.b", "a_b", "é", "1a", "x" * 65])


@pytest.mark.parametrize("name", ["ls", "mcp__server__tool-1", "A", "x" * 64])
def test_a_legal_name_stays(name: str) -> None:
    assert tool_name(name) == call_id(name) == name
    assert is_property(name)


@pytest.mark.parametrize("name", ["", "mcp.server/tool", "1st", "_a", "é", "x" * 65, "a b", "\ud83d"])
def test_any_other_keeps_its_head_and_gets_a_hash(name: str) -> None:
    assert re.fullmatch(LEGAL, tool_name(name))
    assert tool_name(name) == tool_name(name) == hashed(name)


def test_the_head_is_readable() -> None:
    assert re.fullmatch(r"mcp_server_tool_[0-9a-f]{10}", tool_name("mcp.server/tool"))
    assert tool_name("x" * 65) != tool_name("x" * 66)
    assert is_property("a.b")
    assert not is_property("$a")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report"),
        ("a/b/c d.txt", "c d"),
        ("ü:\t*.md", "-"),
        ("", "document"),
        (".env", "-env"),
    ],
)
def test_names_of_documents(name: str, safe: str) -> None:
    assert document_name(name) == safe


@given(st.lists(strange_names, unique=True, max_size=6), st.lists(strange_names, max_size=6))
def test_every_tool_has_a_name_of_its_own(offered: list[str], used: list[str]) -> None:
    names = ToolNames(offered, used)
    upstream = [names.upstream(name) for name in offered + names.unoffered]
    assert all(re.fullmatch(LEGAL, name) for name in upstream)
    assert len({name.lower() for name in upstream}) == len(upstream)
    clients = names.changed()
    assert [clients.get(name, name) for name in upstream] == offered + names.unoffered
    assert {names.upstream(name) for name in used} <= set(upstream)


def test_a_use_in_another_spelling_is_the_offered_tools() -> None:
    names = ToolNames(["Bash"], ["bash", "BASH", "ls"])
    assert names.upstream("bash") == names.upstream("BASH") == "Bash"
    assert names.unoffered == ["ls"]
    assert names.changed() == {}


@given(json_objects)
def test_renaming_there_and_back(value: object) -> None:
    names = {"a": "upstream-a", "": "upstream-b"}
    assert renamed(renamed(value, names), {new: old for old, new in names.items()}) == value


def test_two_members_never_become_one() -> None:
    assert renamed([{"a": 1, "b": 2, "c": {"a": 3}}], {"a": "b"}) == [{"a": 1, "b": 2, "c": {"b": 3}}]


@given(st.lists(strange_names))
def test_properties_get_different_legal_names(said: list[str]) -> None:
    said += [hashed(name) for name in said[:2]]
    legal = legal_properties(said)
    upstream = [legal.get(name, name) for name in dict.fromkeys(said)]
    assert all(is_property(name) for name in upstream)
    assert len({*upstream}) == len(upstream)
