"""What the emulator can be told to do differently: one flat table of switches.

In: a partial table, as JSON values. Out: the same Settings object, changed. Refuses to know what the switches do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

OPENAI_MODELS = ("gpt-5", "gpt-5-mini", "gpt-4o")
MODEL_IDS = ("auto", "claude-sonnet-4", "claude-sonnet-4.5", "claude-haiku-4.5", "claude-opus-4.5")


class SettingsError(ValueError):
    """An unknown key or a value of the wrong type."""


class Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Lengths of time are seconds, sizes are characters unless the name says bytes."""

    # Sign-in
    auto_approve: bool = False
    strict_tokens: bool = False
    token_lifetime: int = 3600
    registration_lifetime: int = 90 * 24 * 3600
    device_interval: int = 1
    device_lifetime: int = 600
    next_token_errors: list[str] = msgspec.field(default_factory=list)
    omit_refresh_token: bool = False
    # Shape of the default answers
    piece_size: int = 7
    fragment_size: int = 12
    piece_delay: float = 0.0
    message_metadata: bool = True
    tail: bool = True
    token_usage: bool = False
    stop_reason: bool = False
    initial_response: bool = False
    default_script: str | None = None
    # What the service insists on
    check_requests: bool = True
    overflow_threshold: int = 800_000
    profile_arn_required: bool = False
    feature_not_supported: bool = False
    # What the service lists
    models: list[str] = msgspec.field(default_factory=lambda: list(MODEL_IDS))
    profiles: int = 0
    openai_models: list[str] = msgspec.field(default_factory=lambda: list(OPENAI_MODELS))

    def update(self, changes: Mapping[str, Any]) -> None:
        """All or nothing. The object stays the same one: handlers hold it."""
        try:
            changed = msgspec.convert({**msgspec.to_builtins(self), **changes}, Settings)
        except msgspec.ValidationError as fault:
            raise SettingsError(str(fault)) from fault
        for name in self.__struct_fields__:
            setattr(self, name, getattr(changed, name))
