"""What has the wrong type reads as empty."""

from __future__ import annotations

import pytest

from cw_proxy.emulator.loose import as_list, as_object, as_text


@pytest.mark.parametrize("value", [None, 1, True, "x", [1], {"a": 1}])
def test_only_the_wanted_type_passes(value: object) -> None:
    assert as_object(value) == (value if isinstance(value, dict) else {})
    assert as_list(value) == (value if isinstance(value, list) else [])
    assert as_text(value) == (value if isinstance(value, str) else "")
