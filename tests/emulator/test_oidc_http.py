"""SSO OIDC through boto3's own client, and the page through a browser's eyes."""

from __future__ import annotations

import asyncio
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from emulator_client import Caller

from cw_proxy.emulator import Emulator

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
START = "https://view.awsapps.com/start"


class Boto:
    """boto3's client, each call in a thread, as it blocks."""

    def __init__(self, url: str) -> None:
        config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
        self.client = boto3.client("sso-oidc", region_name="us-east-1", endpoint_url=url, config=config)
        self.credentials: dict[str, str] = {}

    async def register(self, name: str = "cw-proxy") -> Any:
        registered = await asyncio.to_thread(self.client.register_client, clientName=name, clientType="public")
        self.credentials = {key: registered[key] for key in ("clientId", "clientSecret")}
        return registered

    async def start(self) -> Any:
        return await asyncio.to_thread(self.client.start_device_authorization, **self.credentials, startUrl=START)

    async def token(self, **more: str) -> Any:
        return await asyncio.to_thread(self.client.create_token, **{**self.credentials, **more})

    async def poll(self, device: Any) -> Any:
        return await self.token(grantType=DEVICE_GRANT, deviceCode=device["deviceCode"])


@pytest.fixture
async def boto(emulator: Emulator) -> Boto:
    emulator.settings.device_interval = 0
    boto = Boto(emulator.url)
    await boto.register()
    return boto


async def test_a_whole_sign_in(emulator: Emulator, boto: Boto, caller: Caller) -> None:
    device = await boto.start()
    with pytest.raises(boto.client.exceptions.AuthorizationPendingException) as pending:
        await boto.poll(device)
    assert pending.value.response["error"] == "authorization_pending"
    async with caller.session.get(device["verificationUriComplete"]) as page:
        html = await page.text()
    assert (device["userCode"] in html, "cw-proxy" in html, "Approve" in html, "Deny" in html) == (True,) * 4
    form = {"user_code": device["userCode"], "action": "approve"}
    async with caller.session.post(device["verificationUri"], data=form) as page:
        assert "Approved." in await page.text()
    granted = await boto.poll(device)
    refreshed = await boto.token(grantType="refresh_token", refreshToken=granted["refreshToken"])
    assert refreshed["refreshToken"] != granted["refreshToken"]
    with pytest.raises(boto.client.exceptions.InvalidGrantException) as reused:
        await boto.token(grantType="refresh_token", refreshToken=granted["refreshToken"])
    assert reused.value.response["error_description"] == "Invalid refresh token provided"
    assert emulator.stats.refresh_reuse == 1


async def test_denied(boto: Boto, caller: Caller) -> None:
    device = await boto.start()
    form = {"user_code": device["userCode"], "action": "deny"}
    async with caller.session.post(device["verificationUri"], data=form) as page:
        assert "Denied." in await page.text()
    with pytest.raises(boto.client.exceptions.AccessDeniedException):
        await boto.poll(device)


async def test_approved_at_once(emulator: Emulator, boto: Boto) -> None:
    emulator.settings.auto_approve = True
    assert (await boto.poll(await boto.start()))["accessToken"]


async def test_a_lifetime_in_the_past_is_an_expired_code(emulator: Emulator, boto: Boto) -> None:
    emulator.settings.device_lifetime = 0
    with pytest.raises(boto.client.exceptions.ExpiredTokenException):
        await boto.poll(await boto.start())


async def test_slow_down(emulator: Emulator, boto: Boto) -> None:
    emulator.settings.device_interval = 3600
    device = await boto.start()
    assert device["interval"] == 3600
    with pytest.raises(boto.client.exceptions.AuthorizationPendingException):
        await boto.poll(device)
    with pytest.raises(boto.client.exceptions.SlowDownException):
        await boto.poll(device)


@pytest.mark.parametrize(
    ("code", "name", "status"),
    [
        ("invalid_client", "InvalidClientException", 401),
        ("invalid_grant", "InvalidGrantException", 400),
        ("unsupported_grant_type", "UnsupportedGrantTypeException", 400),
        ("server_error", "InternalServerException", 500),
    ],
)
async def test_errors_are_typed(emulator: Emulator, boto: Boto, code: str, name: str, status: int) -> None:
    emulator.settings.next_token_errors = [code]
    with pytest.raises(getattr(boto.client.exceptions, name)) as caught:
        await boto.token(grantType="refresh_token", refreshToken="x")
    assert caught.value.response["error"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


async def test_bodies_that_are_not_json(caller: Caller) -> None:
    async with caller.session.post(caller.url + "/token", data=b"{") as response:
        assert response.status == 400
        assert (await response.json())["error"] == "invalid_request"


async def test_the_page_by_hand(boto: Boto, caller: Caller) -> None:
    await boto.register("<script>alert(1)</script>")
    device = await boto.start()
    pages: list[tuple[int, str]] = []
    for query in ({}, {"user_code": "WRONG"}, {"user_code": device["userCode"].lower()}):
        async with caller.session.get(caller.url + "/device", params=query) as page:
            pages.append((page.status, await page.text()))
    assert [status for status, _ in pages] == [200, 404, 200]
    assert 'name="user_code"' in pages[0][1]
    assert "<script>" not in pages[2][1]
    for form, status in (({"user_code": "x"}, 404), ({"user_code": device["userCode"]}, 400)):
        async with caller.session.post(caller.url + "/device", data=form) as page:
            assert page.status == status
