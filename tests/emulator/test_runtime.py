"""The companion service in both wire forms: models, profiles, limits."""

from __future__ import annotations

from typing import Any

import pytest
from emulator_client import Caller

from cw_proxy.emulator import Emulator
from cw_proxy.emulator.settings import MODEL_IDS

TARGET = "AmazonCodeWhispererService."


async def list_models(caller: Caller, form: str, **query: Any) -> tuple[int, Any]:
    if form == "rest":
        return await caller.get("/ListAvailableModels", **{name: str(value) for name, value in query.items()})
    return await caller.post("/", query, TARGET + "ListAvailableModels")


@pytest.mark.parametrize("form", ["rest", "aws-json"])
async def test_models(emulator: Emulator, caller: Caller, form: str) -> None:
    status, answer = await list_models(caller, form, origin="CLI")
    assert status == 200
    assert [model["modelId"] for model in answer["models"]] == list(MODEL_IDS)
    assert answer["defaultModel"]["modelId"] == "claude-sonnet-4.5"
    assert answer["models"][0]["tokenLimits"] == {"maxInputTokens": 200_000, "maxOutputTokens": 64_000}
    assert emulator.stats.runtime_requests == 1
    status, answer = await list_models(caller, form)
    assert (status, answer["message"]) == (400, "Improperly formed request.")


@pytest.mark.parametrize("form", ["rest", "aws-json"])
async def test_pages(caller: Caller, form: str) -> None:
    seen: list[str] = []
    query: dict[str, Any] = {"origin": "CLI", "maxResults": 2}
    while True:
        _, answer = await list_models(caller, form, **query)
        seen += [model["modelId"] for model in answer["models"]]
        if "nextToken" not in answer:
            break
        query["nextToken"] = answer["nextToken"]
    assert seen == list(MODEL_IDS)
    for wrong in ({"maxResults": "x"}, {"maxResults": 0}, {"nextToken": "***"}):
        assert (await list_models(caller, form, origin="CLI", **wrong))[0] == 400


async def test_profiles(emulator: Emulator, caller: Caller) -> None:
    assert await caller.post("/ListAvailableProfiles", {}) == (200, {"profiles": []})
    emulator.settings.profiles = 3
    status, answer = await caller.post("/", {"maxResults": 2}, TARGET + "ListAvailableProfiles")
    assert (status, len(answer["profiles"]), "nextToken" in answer) == (200, 2, True)
    arn = answer["profiles"][1]["arn"]
    assert (await caller.post("/GetProfile", {"profileArn": arn}))[1]["profile"]["arn"] == arn
    assert (await caller.post("/GetProfile", {"profileArn": "x"}))[0] == 404


async def test_a_listed_profile_is_a_legal_one(emulator: Emulator, caller: Caller) -> None:
    from emulator_client import a_body

    emulator.settings.profiles = 1
    emulator.settings.profile_arn_required = True
    _, answer = await caller.post("/ListAvailableProfiles", {})
    arn = answer["profiles"][0]["arn"]
    assert (await caller.send({**a_body("hi"), "profileArn": arn})).status == 200
    assert (await caller.get("/ListAvailableModels", origin="CLI"))[0] == 400
    assert (await caller.get("/ListAvailableModels", origin="CLI", profileArn=arn))[0] == 200


async def test_limits(caller: Caller) -> None:
    for status, answer in (
        await caller.get("/getUsageLimits", origin="CLI"),
        await caller.post("/", {}, TARGET + "GetUsageLimits"),
    ):
        assert status == 200
        assert answer["usageBreakdownList"][0]["usageLimit"] == 1000
        assert answer["limits"][0]["type"] == "AGENTIC_REQUEST"


async def test_a_token_is_needed(emulator: Emulator, caller: Caller) -> None:
    emulator.settings.strict_tokens = True
    assert (await caller.get("/getUsageLimits"))[0] == 403
