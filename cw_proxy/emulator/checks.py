"""placeholder"""

from __future__ import annotations

from typing import Any

from cw_proxy.emulator.settings import Settings


def check_request(body: dict[str, Any], settings: Settings) -> None:
    return None
