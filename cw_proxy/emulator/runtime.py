"""The companion service: models, profiles, usage limits.

In: GET with a query, POST with a body, or POST / with a target. Out: JSON pages. Refuses to know OIDC: whether a token
is good is asked of a function. (upstream.md §3)
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from cw_proxy.emulator.model_fields import SCHEMAS
from cw_proxy.emulator.refusal import Refusal, improper
from cw_proxy.emulator.service import Form, check_account, check_bearer, content_type_of, read_body, service_headers
from cw_proxy.emulator.settings import Settings
from cw_proxy.emulator.stats import Stats

PREFIX = "AmazonCodeWhispererService."
REST_PATHS = {
    ("GET", "/ListAvailableModels"): "ListAvailableModels",
    ("GET", "/getUsageLimits"): "GetUsageLimits",
    ("POST", "/ListAvailableProfiles"): "ListAvailableProfiles",
    ("POST", "/GetProfile"): "GetProfile",
}
DEFAULT_MODEL = "claude-sonnet-4.5"
_RATES = {"claude-haiku-4.5": 0.4, "claude-opus-4.5": 2.2}
_NEXT_RESET = 1_798_761_600  # 2027-01-01, so that answers can be foretold
Object = dict[str, Any]


class RuntimeService:
    def __init__(self, settings: Settings, stats: Stats, accepts_token: Callable[[str], bool]) -> None:
        self._settings = settings
        self._stats = stats
        self._accepts_token = accepts_token
        self._operations: dict[str, Callable[[Object], Object]] = {
            "ListAvailableModels": self._models,
            "ListAvailableProfiles": self._profiles,
            "GetProfile": self._profile,
            "GetUsageLimits": self._limits,
        }

    def operation_of(self, target: str) -> str | None:
        name = target.removeprefix(PREFIX)
        return name if target.startswith(PREFIX) and name in self._operations else None

    async def handle(self, request: web.Request, form: Form, operation: str) -> web.Response:
        self._stats.runtime_requests += 1
        try:
            check_bearer(request, self._accepts_token)
            body = dict(request.query) if request.method == "GET" else await read_body(request)
            answer = self._operations[operation](body)
        except Refusal as refusal:
            response = refusal.response(content_type_of(form))
            response.headers.update(service_headers())
            return response
        headers = {**service_headers(), "Content-Type": content_type_of(form)}
        return web.Response(body=msgspec.json.encode(answer), headers=headers)

    def _models(self, body: Object) -> Object:
        if not body.get("origin"):
            raise improper("ListAvailableModels: origin is required")
        check_account(body, self._settings)
        page, token = _page([model(name) for name in self._settings.models], body, 100)
        default = DEFAULT_MODEL if DEFAULT_MODEL in self._settings.models else (self._settings.models or ["auto"])[0]
        return {"models": page, "defaultModel": model(default), **token}

    def _profiles(self, body: Object) -> Object:
        page, token = _page([profile(number) for number in range(self._settings.profiles)], body, 10)
        return {"profiles": page, **token}

    def _profile(self, body: Object) -> Object:
        every = [profile(number) for number in range(self._settings.profiles)]
        found = next((one for one in every if one["arn"] == body.get("profileArn")), None)
        if found is None:
            raise Refusal("ResourceNotFoundException", "Profile not found.")
        return {"profile": found}

    def _limits(self, body: Object) -> Object:
        check_account(body, self._settings)
        return usage_limits(self._stats.requests)


def model(name: str) -> Object:
    fields = {"additionalModelRequestFieldsSchema": SCHEMAS[name]} if name in SCHEMAS else {}
    return {
        **fields,
        "modelId": name,
        "modelName": "Auto" if name == "auto" else name.replace("-", " ").title(),
        "description": f"The emulator's {name}: no model is behind it",
        "rateMultiplier": _RATES.get(name, 1.0),
        "rateUnit": "credit",
        "tokenLimits": {"maxInputTokens": 200_000, "maxOutputTokens": 64_000},
        "supportedInputTypes": ["TEXT", "IMAGE"],
        "promptCaching": {
            "supportsPromptCaching": True,
            "minimumTokensPerCacheCheckpoint": 1024,
            "maximumCacheCheckpointsPerRequest": 4,
        },
    }


def profile(number: int) -> Object:
    return {
        "arn": f"arn:aws:codewhisperer:us-east-1:123456789012:profile/EMULATED{number:04d}",
        "profileName": f"emulated-{number}",
        "description": "A profile of the emulator",
        "status": "ACTIVE",
        "profileType": "Q_DEVELOPER",
    }


def usage_limits(used: int) -> Object:
    allowed = 1000
    breakdown = {
        "resourceType": "CREDIT",
        "displayName": "Credit",
        "displayNamePlural": "Credits",
        "currentUsage": used,
        "currentUsageWithPrecision": float(used),
        "currentOverages": 0,
        "currentOveragesWithPrecision": 0.0,
        "usageLimit": allowed,
        "usageLimitWithPrecision": float(allowed),
        "overageCharges": 0.0,
        "currency": "USD",
        "overageRate": 0.04,
        "nextDateReset": _NEXT_RESET,
    }
    agentic = {"type": "AGENTIC_REQUEST", "currentUsage": used, "totalUsageLimit": allowed}
    return {
        "limits": [{**agentic, "percentUsed": 100 * used / allowed}],
        "nextDateReset": _NEXT_RESET,
        "daysUntilReset": 30,
        "usageBreakdown": breakdown,
        "usageBreakdownList": [breakdown],
        "subscriptionInfo": {
            "type": "Q_DEVELOPER_STANDALONE_PRO",
            "subscriptionTitle": "EMULATED PRO",
            "upgradeCapability": "UPGRADE_CAPABLE",
            "overageCapability": "OVERAGE_CAPABLE",
            "subscriptionManagementTarget": "MANAGE",
        },
        "overageConfiguration": {"overageStatus": "DISABLED"},
        "userInfo": {"userId": "emulated-user", "email": "emulated@example.com"},
    }


def _page(every: Sequence[Object], body: Object, most: int) -> tuple[Sequence[Object], Object]:
    """One page, and the token of the next one if there is one."""
    start, size = _start(body.get("nextToken")), _size(body.get("maxResults"), most)
    token = {"nextToken": base64.b64encode(str(start + size).encode()).decode()} if start + size < len(every) else {}
    return every[start : start + size], token


def _start(token: object) -> int:
    try:
        return max(0, int(base64.b64decode(str(token), validate=True))) if token else 0
    except (binascii.Error, ValueError) as fault:
        raise improper("nextToken is not one of ours") from fault


def _size(wanted: object, most: int) -> int:
    try:
        size = int(str(wanted)) if wanted is not None else most
    except ValueError as fault:
        raise improper("maxResults is not a number") from fault
    if not 1 <= size <= most:
        raise improper(f"maxResults must be 1 to {most}")
    return size
