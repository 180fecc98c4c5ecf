"""A request's wishes go in; the filters they need come out, but not for what the upstream does itself."""

from __future__ import annotations

from typing import Any

import pytest
from strategies import request

from cw_proxy.filters import filters_for
from cw_proxy.filters.length import LengthFilter
from cw_proxy.filters.single_call import SingleCallFilter
from cw_proxy.filters.stop import StopFilter

WISHES: list[tuple[dict[str, Any], str, type]] = [
    ({"stop": ("a",)}, "stop", StopFilter),
    ({"max_tokens": 1}, "max_tokens", LengthFilter),
    ({"parallel_tool_calls": False}, "parallel_tool_calls", SingleCallFilter),
]


@pytest.mark.parametrize(("wish", "name", "kind"), WISHES)
def test_a_wish_needs_a_filter_unless_the_upstream_sees_to_it(wish: dict[str, Any], name: str, kind: type) -> None:
    assert [type(one) for one in filters_for(request(**wish), frozenset(), None)] == [kind]
    assert filters_for(request(**wish), frozenset({name}), None) == []


def test_a_plain_request_needs_none() -> None:
    assert filters_for(request(), frozenset(), 1.5) == []
