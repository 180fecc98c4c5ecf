"""Items and a query go in; a page comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import ResponseItemList
from pydantic import TypeAdapter

from cw_proxy.errors import InvalidValue
from cw_proxy.protocols.openai_responses.listing import page

ITEMS: list[dict[str, Any]] = [
    {"role": "user", "content": "u"},
    {"role": "assistant", "content": "a"},
    {"type": "message", "id": "msg_own", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
    {"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "o"},
    {"type": "reasoning", "summary": []},
]
RAW = [json.dumps(item).encode() for item in ITEMS]


def ids(query: str) -> list[str]:
    return [item["id"] for item in page("resp_ab", RAW, query)["data"]]


def test_a_page_is_what_the_sdk_takes_for_one() -> None:
    listed = page("resp_ab", RAW, "order=asc")
    TypeAdapter(ResponseItemList).validate_json(json.dumps(listed), strict=True)
    assert (listed["first_id"], listed["last_id"], listed["has_more"]) == ("msg_ab0000", "rs_ab0005", False)
    assert [item["type"] for item in listed["data"][:2]] == ["message", "message"]
    assert listed["data"][0]["content"] == [{"type": "input_text", "text": "u"}]


def test_the_latest_comes_first_unless_asked() -> None:
    assert ids("") == list(reversed(ids("order=asc")))
    assert ids("order=asc")[2] == "msg_own"


def test_pages_follow_each_other() -> None:
    first = page("resp_ab", RAW, "limit=4")
    assert first["has_more"]
    rest = page("resp_ab", RAW, f"limit=4&after={first['last_id']}")
    assert [item["id"] for item in first["data"] + rest["data"]] == ids("")
    assert not rest["has_more"]


def test_a_page_of_nothing() -> None:
    assert page("resp_ab", [], "") == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("order=up", "order"),
        ("after=msg_other", "after"),
    ],
)
def test_what_is_refused_names_its_place(query: str, param: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        page("resp_ab", RAW, query)
    assert raised.value.param == param
