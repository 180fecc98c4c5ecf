"""Switches change all or nothing, and stay the same object."""

from __future__ import annotations

import pytest

from cw_proxy.emulator.settings import Settings, SettingsError


def test_a_partial_update_keeps_the_rest() -> None:
    settings = Settings(piece_size=3)
    settings.update({"token_lifetime": 5, "next_token_errors": ["slow_down"]})
    assert (settings.piece_size, settings.token_lifetime, settings.next_token_errors) == (3, 5, ["slow_down"])


@pytest.mark.parametrize("changes", [{"piece_sise": 3}, {"piece_size": "3"}, {"piece_size": 3, "tail": 1}])
def test_unknown_keys_and_wrong_types_change_nothing(changes: dict[str, object]) -> None:
    settings = Settings()
    with pytest.raises(SettingsError):
        settings.update(changes)
    assert settings == Settings()


def test_two_tables_share_no_list() -> None:
    Settings().models.append("x")
    assert "x" not in Settings().models
