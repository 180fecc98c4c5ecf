"""The emulator's own levers."""

from __future__ import annotations

import msgspec
from emulator_client import Caller, a_body

from cw_proxy.emulator import Emulator, Settings


async def test_stats(caller: Caller) -> None:
    await caller.ask("count from 1 to 3")
    status, stats = await caller.get("/_emulator/stats")
    assert (status, stats["requests"], stats["completed"]) == (200, 1, 1)
    assert stats["last_body"] == a_body("count from 1 to 3")
    assert sum(stats["user_agents"].values()) == 1


async def test_settings(emulator: Emulator, caller: Caller) -> None:
    status, answer = await caller.post("/_emulator/settings", {"piece_size": 3})
    assert (status, answer["piece_size"]) == (200, 3)
    assert emulator.settings.piece_size == 3
    assert (await caller.get("/_emulator/settings"))[1] == msgspec.to_builtins(Settings(piece_size=3))
    for wrong in ({"unknown": 1}, {"piece_size": "x"}, []):
        status, answer = await caller.post("/_emulator/settings", wrong)
        assert (status, "error" in answer) == (400, True)


async def test_expire(emulator: Emulator, caller: Caller) -> None:
    emulator.settings.auto_approve = True
    _, client = await caller.post("/client/register", {"clientName": "c", "clientType": "public"})
    credentials = {name: client[name] for name in ("clientId", "clientSecret")}
    _, device = await caller.post("/device_authorization", {**credentials, "startUrl": "s"})
    grant = {"grantType": "urn:ietf:params:oauth:grant-type:device_code", "deviceCode": device["deviceCode"]}
    _, granted = await caller.post("/token", {**credentials, **grant})
    bearer = {"Authorization": f"Bearer {granted['accessToken']}"}
    assert (await caller.send(a_body("hi"), headers=bearer)).status == 200
    assert await caller.post("/_emulator/expire", {}) == (200, {"expired": 1})
    seen = await caller.send(a_body("hi"), headers=bearer)
    assert (seen.status, seen.error["message"]) == (403, "The bearer token included in the request is invalid.")
    refresh = {"grantType": "refresh_token", "refreshToken": granted["refreshToken"]}
    _, renewed = await caller.post("/token", {**credentials, **refresh})
    again = await caller.send(a_body("hi"), headers={"Authorization": f"Bearer {renewed['accessToken']}"})
    assert again.status == 200


async def test_scripts(caller: Caller) -> None:
    assert await caller.post("/_emulator/scripts/mine", [{"text": "hello"}]) == (200, {"registered": "mine"})
    assert "mine" in (await caller.get("/_emulator/scripts"))[1]
    assert (await caller.ask("play the script mine")).text == "hello"
    for wrong in ([{"texd": "x"}], {}):
        assert (await caller.post("/_emulator/scripts/wrong", wrong))[0] == 400


async def test_takes(caller: Caller) -> None:
    await caller.post("/_emulator/scripts/mine", [{"takes": [[{"text": "a"}], [{"text": "b"}]]}])
    assert [(await caller.ask("play the script mine")).text for _ in range(3)] == ["a", "b", "b"]
    await caller.post("/_emulator/reset", {})
    await caller.post("/_emulator/scripts/mine", [{"takes": [[{"text": "a"}], [{"text": "b"}]]}])
    assert (await caller.ask("play the script mine")).text == "a"
    assert (await caller.post("/_emulator/scripts/wrong", [{"takes": [[{"texd": "x"}]]}]))[0] == 400


async def test_reset(emulator: Emulator, caller: Caller) -> None:
    await caller.post("/_emulator/scripts/mine", [{"text": "hello"}])
    await caller.post("/_emulator/settings", {"piece_size": 3})
    assert (await caller.ask("fault 500 times 1 id a")).status == 500
    await caller.post("/_emulator/reset", {})
    assert (emulator.settings, emulator.stats.requests) == (Settings(), 0)
    assert "mine" not in emulator.scripts
    assert (await caller.ask("fault 500 times 1 id a")).status == 500
