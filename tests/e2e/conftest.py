"""`cw-proxy serve` in front of `cw-proxy emulator`, as real processes, started once for all tests that only ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from servers import Service, program, serving


@pytest.fixture(scope="session")
def emulator_process() -> Iterator[str]:
    with program("emulator") as emulator:
        yield emulator.first_line()


@pytest.fixture(scope="module")
def emulated() -> Iterator[str]:
    """An emulator of the file's own, for its numbers, scripts and settings."""
    with program("emulator") as emulator:
        yield emulator.first_line()


@pytest.fixture(scope="session")
def service(emulator_process: str) -> Iterator[Service]:
    with serving(emulator_process) as (url, _):
        yield Service(url, emulator_process)


@pytest.fixture(scope="session")
def pinging(emulator_process: str) -> Iterator[Service]:
    """A proxy that fills every short silence."""
    with serving(emulator_process, CW_PROXY_PING_INTERVAL="0.05") as (url, _):
        yield Service(url, emulator_process)


@pytest.fixture
def fresh(emulator_process: str) -> Iterator[Service]:
    """A proxy of the test's own: it remembers for a minute what the service says of the account."""
    with serving(emulator_process) as (url, _):
        yield Service(url, emulator_process)


# Scripts that break after their text, which comes with time to be passed on.
BREAKING = (
    "exception",
    "exception-unmodeled",
    "error-frame",
    "crc-flip",
    "cut-in-frame",
    "abort-in-frame",
    "drop",
    "reset",
)


@pytest.fixture(params=BREAKING)
def breaking(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def breaking_scripts() -> tuple[str, ...]:
    return BREAKING
