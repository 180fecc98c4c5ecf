"""A sign-in service in memory and a clock that is turned by hand: values for the two seams of auth."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cw_proxy.auth import flow
from cw_proxy.auth.records import BUILDER_ID_START_URL, Login
from cw_proxy.auth.store import Store
from cw_proxy.errors import ProxyError
from cw_proxy.secret import Secret

START = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Service:
    """Refresh tokens rotate; a used one is refused. `answers` come first; `gate` holds a call in the air."""

    def __init__(self, lifetime: int = 3600) -> None:
        self.lifetime = lifetime
        self.answers: list[flow.Granted | flow.Refused | ProxyError] = []
        self.refreshes = 0
        self.seen: list[object] = []
        self.current = Secret("refresh-0")
        self.gate: threading.Event | None = None
        self.asked = threading.Event()

    def register(self, step: flow.Register) -> flow.Registered:
        self.seen.append(step)
        return flow.Registered("client", Secret("client-secret"), int(START) + 90 * 86400)

    def authorize(self, step: flow.Authorize) -> flow.Authorized:
        self.seen.append(step)
        uri = "https://device.example/"
        return flow.Authorized(Secret("device"), "ABCD-EFGH", uri, f"{uri}?user_code=ABCD-EFGH", 600, 1)

    def create_token(self, step: flow.CreateToken) -> flow.Granted | flow.Refused:
        self.seen.append(step)
        self.asked.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, ProxyError):
                raise answer
            return answer
        if isinstance(step.grant, flow.RefreshGrant) and step.grant.secret != self.current:
            return flow.Refused("invalid_grant")
        return self.grant()

    def grant(self) -> flow.Granted:
        self.refreshes += 1
        self.current = Secret(f"refresh-{self.refreshes}")
        return flow.Granted(Secret(f"access-{self.refreshes}"), self.current, self.lifetime)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def make_login() -> Callable[..., Login]:
    """The sign-in before any refresh, with `left` seconds to live."""

    def make(left: float = 3600, **changes: object) -> Login:
        fields: dict[str, object] = {
            "start_url": BUILDER_ID_START_URL,
            "region": "us-east-1",
            "access_token": Secret("access-0"),
            "expires_at": int(START + left),
            "refresh_token": Secret("refresh-0"),
            "client_id": "client",
            "client_secret": Secret("client-secret"),
            "registration_expires_at": int(START) + 90 * 86400,
        }
        return Login(**{**fields, **changes})

    return make


@pytest.fixture
def keep(store: Store) -> Callable[[Login], Login]:
    def save(login: Login) -> Login:
        with store.writing() as files:
            files.save(login)
        return login

    return save
