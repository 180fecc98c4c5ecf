"""One field at a time; a complaint names the path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cw_proxy.emulator import fields
from cw_proxy.emulator.refusal import Refusal


@pytest.mark.parametrize(
    ("check", "path"),
    [
        (lambda: fields.optional_text({"a": 1}, "a", "p"), "p.a"),
        (lambda: fields.required_text({}, "a", "p"), "p.a"),
        (lambda: fields.optional_object({"a": []}, "a", ""), "a"),
        (lambda: fields.required_object({"a": None}, "a", "p"), "p.a"),
        (lambda: fields.optional_list({"a": {}}, "a", "p"), "p.a"),
        (lambda: fields.optional_list({"a": [1, 2]}, "a", "p", most=1), "p.a"),
        (lambda: fields.length("abc", 1, 2, "p.a"), "p.a"),
        (lambda: fields.matching({"a": "ab"}, "a", "a", "p"), "p.a"),
        (lambda: fields.matching({"a": "aa"}, "a", "a+", "p", most=1), "p.a"),
        (lambda: fields.one_of({"a": "x"}, "a", frozenset("y"), "p"), "p.a"),
    ],
)
def test_complaints(check: Callable[[], Any], path: str) -> None:
    with pytest.raises(Refusal) as caught:
        check()
    assert caught.value.detail is not None
    assert caught.value.detail.startswith(path)


def test_what_is_absent_is_fine_where_it_is_optional() -> None:
    assert fields.optional_text({}, "a", "") is None
    assert fields.optional_object({}, "a", "") is None
    assert fields.optional_list({}, "a", "") == []
    fields.matching({}, "a", "x", "")
    fields.one_of({}, "a", frozenset(), "")
