"""SSO OIDC as a state machine, with a clock of our own."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.emulator.oidc import DEVICE_GRANT, ERRORS, Oidc, OidcError
from cw_proxy.emulator.settings import Settings
from cw_proxy.emulator.stats import Stats

BASE = "http://127.0.0.1:1"
START = {"startUrl": "https://view.awsapps.com/start"}


class World:
    """An issuer, and a client that is registered with it."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1_000_000.0
        self.settings = Settings(**settings)
        self.stats = Stats()
        self.oidc = Oidc(self.settings, self.stats, lambda: self.now)
        self.client = self.register()

    def register(self) -> dict[str, Any]:
        registered = self.oidc.register({"clientName": "c", "clientType": "public"})
        return {name: registered[name] for name in ("clientId", "clientSecret")}

    def start(self) -> dict[str, Any]:
        return self.oidc.authorize_device({**self.client, **START}, BASE)

    def poll(self, device: dict[str, Any], **changes: Any) -> dict[str, Any]:
        asked = {**self.client, "grantType": DEVICE_GRANT, "deviceCode": device["deviceCode"]}
        return self.oidc.token({**asked, **changes})

    def sign_in(self) -> dict[str, Any]:
        self.settings.auto_approve = True
        return self.poll(self.start())

    def refresh(self, token: str, **changes: Any) -> dict[str, Any]:
        return self.oidc.token({**self.client, "grantType": "refresh_token", "refreshToken": token, **changes})

    def decide(self, device: dict[str, Any], state: Any) -> None:
        found = self.oidc.device_of(device["userCode"])
        assert found is not None
        found.state = state


def code_of(error: pytest.ExceptionInfo[OidcError]) -> str:
    return error.value.code


def test_a_sign_in() -> None:
    world = World()
    device = world.start()
    assert device["verificationUriComplete"] == f"{BASE}/device?user_code={device['userCode']}"
    with pytest.raises(OidcError) as waiting:
        world.poll(device)
    assert code_of(waiting) == "authorization_pending"
    world.decide(device, "approved")
    world.now += device["interval"]
    granted = world.poll(device)
    assert (granted["tokenType"], granted["expiresIn"]) == ("Bearer", 3600)
    assert world.oidc.accepts(granted["accessToken"])
    with pytest.raises(OidcError) as used:
        world.poll(device)
    assert code_of(used) == "invalid_grant"
    assert (world.stats.registrations, world.stats.device_authorizations, world.stats.token_grants) == (1, 1, 1)


def test_polling_too_fast() -> None:
    world = World(device_interval=5)
    device = world.start()
    codes = []
    for wait in (0, 1, 5, 4.9):  # the last one comes as early as the network may make it
        world.now += wait
        with pytest.raises(OidcError) as error:
            world.poll(device)
        codes.append(code_of(error))
    assert codes == ["authorization_pending", "slow_down", "authorization_pending", "authorization_pending"]


def test_a_denied_and_a_late_sign_in() -> None:
    world = World()
    device = world.start()
    world.decide(device, "denied")
    with pytest.raises(OidcError) as denied:
        world.poll(device)
    assert code_of(denied) == "access_denied"
    world.now += world.settings.device_lifetime
    with pytest.raises(OidcError) as late:
        world.poll(device)
    assert code_of(late) == "expired_token"
    assert world.oidc.device_of(device["userCode"]) is None


def test_refresh_tokens_rotate() -> None:
    world = World()
    first = world.sign_in()
    second = world.refresh(first["refreshToken"])
    third = world.refresh(second["refreshToken"])
    assert len({one["refreshToken"] for one in (first, second, third)}) == 3
    assert (world.stats.refreshes, world.stats.refresh_reuse, world.stats.token_grants) == (2, 0, 3)


def test_reuse_revokes_the_family() -> None:
    world = World()
    other = world.sign_in()
    first = world.sign_in()
    second = world.refresh(first["refreshToken"])
    for token in (first["refreshToken"], second["refreshToken"]):
        with pytest.raises(OidcError) as error:
            world.refresh(token)
        assert code_of(error) == "invalid_grant"
    assert world.stats.refresh_reuse == 1
    assert not world.oidc.accepts(second["accessToken"])
    assert world.oidc.accepts(other["accessToken"])


def test_an_answer_without_a_refresh_token_leaves_the_old_one_valid() -> None:
    world = World(omit_refresh_token=True)
    first = world.sign_in()
    assert "refreshToken" not in world.refresh(first["refreshToken"])
    assert "refreshToken" not in world.refresh(first["refreshToken"])
    assert world.stats.refresh_reuse == 0


def test_a_refresh_token_belongs_to_its_client() -> None:
    world = World()
    granted = world.sign_in()
    with pytest.raises(OidcError) as error:
        world.refresh(granted["refreshToken"], **world.register())
    assert code_of(error) == "invalid_grant"


def test_access_tokens_expire() -> None:
    world = World(token_lifetime=10)
    token = world.sign_in()["accessToken"]
    world.now += 9
    assert world.oidc.accepts(token)
    world.now += 1
    assert not world.oidc.accepts(token)
    fresh = world.sign_in()["accessToken"]
    assert world.oidc.expire_access_tokens() == 2
    assert not world.oidc.accepts(fresh)


def test_strange_tokens() -> None:
    world = World()
    assert world.oidc.accepts("any")
    assert not world.oidc.accepts("")
    world.settings.strict_tokens = True
    assert not world.oidc.accepts("any")


def test_a_registration_expires() -> None:
    world = World(registration_lifetime=60)
    world.now += 60
    with pytest.raises(OidcError) as error:
        world.start()
    assert (code_of(error), error.value.status) == ("invalid_client", 401)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"clientId": "x"}, "invalid_client"),
        ({"clientSecret": "x"}, "invalid_client"),
        ({"clientId": None}, "invalid_request"),
        ({"grantType": None}, "invalid_request"),
        ({"grantType": "password"}, "unsupported_grant_type"),
        ({"deviceCode": "x"}, "invalid_grant"),
        ({"grantType": "refresh_token", "refreshToken": "x"}, "invalid_grant"),
    ],
)
def test_wrong_requests(changes: dict[str, Any], code: str) -> None:
    world = World()
    with pytest.raises(OidcError) as error:
        world.poll(world.start(), **changes)
    assert code_of(error) == code


@pytest.mark.parametrize("body", [{}, {"clientName": "x"}, {"clientName": "x", "clientType": "confidential"}])
def test_wrong_registrations(body: dict[str, Any]) -> None:
    with pytest.raises(OidcError) as error:
        World().oidc.register(body)
    assert code_of(error) == "invalid_client_metadata"


def test_a_start_url_is_required() -> None:
    world = World()
    with pytest.raises(OidcError) as error:
        world.oidc.authorize_device(world.client, BASE)
    assert code_of(error) == "invalid_request"


def test_queued_errors_come_first_and_once() -> None:
    world = World(next_token_errors=["server_error", "no_such_code"])
    world.settings.auto_approve = True
    device = world.start()
    for _ in range(2):
        with pytest.raises(OidcError) as error:
            world.poll(device)
        assert (code_of(error), error.value.status) == ("server_error", 500)
    assert world.poll(device)["accessToken"]


@pytest.mark.parametrize("code", ERRORS)
def test_each_code_has_its_exception(code: str) -> None:
    error = OidcError(code)
    assert error.name.endswith("Exception")
    assert error.status in (400, 401, 500)
    assert error.description


def test_codes_as_people_type_them() -> None:
    world = World()
    code = world.start()["userCode"]
    assert world.oidc.device_of(f" {code.lower().replace('-', '')} ") is world.oidc.device_of(code)
    assert world.oidc.device_of("") is None
