"""What every test gets: an environment without the developer's own settings, and servers where it asks for them."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings
from servers import is_ours, proxy

from cw_proxy.app import App
from cw_proxy.emulator import Emulator

# No test depends on the speed of the machine: neither one example's nor the drawing of them.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure() -> None:
    # A background job is started with Ctrl-C ignored, and so would be the commands that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for variable in filter(is_ours, list(os.environ)):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("CW_PROXY_HOME", str(tmp_path_factory.getbasetemp() / "no-home"))


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as running:
        yield running


@pytest.fixture
async def app(emulator: Emulator) -> AsyncIterator[App]:
    """A proxy in front of `emulator`."""
    async with proxy(emulator) as running:
        yield running
