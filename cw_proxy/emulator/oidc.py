"""SSO OIDC as a state machine: registrations, device codes, access and refresh tokens.

In: the JSON bodies of the three calls, and the time. Out: the JSON of an answer, or an OidcError. Refuses to know HTTP.
Refresh tokens rotate and reuse is detected: whoever sends a used one loses the whole family (upstream.md §4).
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cw_proxy.emulator.loose import as_text
from cw_proxy.emulator.settings import Settings
from cw_proxy.emulator.stats import Stats

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_POLL_GRACE = 0.2  # a poll that was sent in time may arrive a little closer to the one before it

ERRORS: Mapping[str, tuple[str, int, str]] = {
    "authorization_pending": ("AuthorizationPendingException", 400, "Authorization is still pending."),
    "slow_down": ("SlowDownException", 400, "Polling faster than the interval."),
    "expired_token": ("ExpiredTokenException", 400, "The device code has expired."),
    "access_denied": ("AccessDeniedException", 400, "The user denied the request."),
    "invalid_grant": ("InvalidGrantException", 400, "Invalid refresh token provided"),
    "invalid_client": ("InvalidClientException", 401, "Invalid client provided"),
    "invalid_client_metadata": ("InvalidClientMetadataException", 400, "Invalid client metadata"),
    "invalid_request": ("InvalidRequestException", 400, "Invalid request"),
    "invalid_scope": ("InvalidScopeException", 400, "Invalid scope"),
    "unauthorized_client": ("UnauthorizedClientException", 400, "The client may not use this grant."),
    "unsupported_grant_type": ("UnsupportedGrantTypeException", 400, "Unsupported grant type"),
    "server_error": ("InternalServerException", 500, "Unexpected error"),
}


class OidcError(Exception):
    """`code` is a key of ERRORS."""

    def __init__(self, code: str, description: str | None = None) -> None:
        self.code = code if code in ERRORS else "server_error"
        self.name, self.status, standard = ERRORS[self.code]
        self.description = description or standard
        super().__init__(self.code)


@dataclass(slots=True)
class Client:
    client_id: str
    secret: str
    name: str
    expires_at: float


@dataclass(slots=True)
class Device:
    """`state` is moved by the approval page; `used` once tokens were granted."""

    code: str
    user_code: str
    client: Client
    expires_at: float
    state: Literal["pending", "approved", "denied", "used"] = "pending"
    last_poll: float | None = None


@dataclass(slots=True)
class Family:
    """All tokens that descend from one sign-in. Only `refresh_token` may be used; `used` ones betray a thief."""

    client_id: str
    refresh_token: str
    used: set[str] = field(default_factory=set)
    revoked: bool = False


@dataclass(slots=True)
class AccessToken:
    family: Family
    expires_at: float


class Oidc:
    def __init__(self, settings: Settings, stats: Stats, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._stats = stats
        self._clock = clock
        self._clients: dict[str, Client] = {}
        self._devices: dict[str, Device] = {}
        self._families: list[Family] = []
        self._access: dict[str, AccessToken] = {}

    def register(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if not as_text(body.get("clientName")) or body.get("clientType") != "public":
            raise OidcError("invalid_client_metadata", "clientName and clientType public are required")
        now = self._clock()
        lifetime = self._settings.registration_lifetime
        name = as_text(body["clientName"])
        client = Client(secrets.token_urlsafe(16), secrets.token_urlsafe(32), name, now + lifetime)
        self._clients[client.client_id] = client
        self._stats.registrations += 1
        return {
            "clientId": client.client_id,
            "clientSecret": client.secret,
            "clientIdIssuedAt": int(now),
            "clientSecretExpiresAt": int(client.expires_at),
        }

    def authorize_device(self, body: Mapping[str, Any], base_url: str) -> dict[str, Any]:
        client = self._client(body)
        if not as_text(body.get("startUrl")):
            raise OidcError("invalid_request", "startUrl is required")
        lifetime = self._settings.device_lifetime
        device = Device(secrets.token_urlsafe(24), self._user_code(), client, self._clock() + lifetime)
        device.state = "approved" if self._settings.auto_approve else "pending"
        self._devices[device.code] = device
        self._stats.device_authorizations += 1
        page = f"{base_url}/device"
        return {
            "deviceCode": device.code,
            "userCode": device.user_code,
            "verificationUri": page,
            "verificationUriComplete": f"{page}?user_code={device.user_code}",
            "expiresIn": lifetime,
            "interval": self._settings.device_interval,
        }

    def _user_code(self) -> str:
        letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
        return f"{letters[:4]}-{letters[4:]}"

    def token(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if self._settings.next_token_errors:
            raise OidcError(self._settings.next_token_errors.pop(0))
        client = self._client(body)
        match as_text(body.get("grantType")):
            case "":
                raise OidcError("invalid_request", "grantType is required")
            case grant if grant == DEVICE_GRANT:
                return self._device_grant(client, as_text(body.get("deviceCode")))
            case grant if grant == REFRESH_GRANT:
                return self._refresh(client, as_text(body.get("refreshToken")))
            case _:
                raise OidcError("unsupported_grant_type")

    def _client(self, body: Mapping[str, Any]) -> Client:
        client_id, secret = as_text(body.get("clientId")), as_text(body.get("clientSecret"))
        if not client_id or not secret:
            raise OidcError("invalid_request", "clientId and clientSecret are required")
        client = self._clients.get(client_id)
        if client is None or client.secret != secret or client.expires_at <= self._clock():
            raise OidcError("invalid_client")
        return client

    def _device_grant(self, client: Client, code: str) -> dict[str, Any]:
        device = self._devices.get(code)
        if device is None or device.client is not client or device.state == "used":
            raise OidcError("invalid_grant", "Invalid device code provided")
        self._check_poll(device)
        if device.state == "pending":
            raise OidcError("authorization_pending")
        if device.state == "denied":
            raise OidcError("access_denied")
        device.state = "used"
        family = Family(client.client_id, _refresh_token())
        self._families.append(family)
        return {**self._grant(family), "refreshToken": family.refresh_token}

    def _check_poll(self, device: Device) -> None:
        now = self._clock()
        if device.expires_at <= now:
            raise OidcError("expired_token")
        too_early = device.last_poll is not None and (
            now - device.last_poll < self._settings.device_interval - _POLL_GRACE
        )
        device.last_poll = now
        if too_early:
            raise OidcError("slow_down")

    def _refresh(self, client: Client, token: str) -> dict[str, Any]:
        family = next((one for one in self._families if token == one.refresh_token or token in one.used), None)
        if family is None or family.revoked or family.client_id != client.client_id:
            raise OidcError("invalid_grant")
        if token in family.used:
            # Two holders of one rotating token: neither can be trusted any more.
            family.revoked = True
            self._stats.refresh_reuse += 1
            raise OidcError("invalid_grant")
        self._stats.refreshes += 1
        if self._settings.omit_refresh_token:
            return self._grant(family)
        family.used.add(token)
        family.refresh_token = _refresh_token()
        return {**self._grant(family), "refreshToken": family.refresh_token}

    def _grant(self, family: Family) -> dict[str, Any]:
        lifetime = self._settings.token_lifetime
        token = f"aoa{secrets.token_urlsafe(48)}"
        self._access[token] = AccessToken(family, self._clock() + lifetime)
        self._stats.token_grants += 1
        return {"accessToken": token, "tokenType": "Bearer", "expiresIn": lifetime}

    def accepts(self, token: str) -> bool:
        """A token of ours must be alive; a strange one passes unless tokens are strict."""
        issued = self._access.get(token)
        if issued is None:
            return bool(token) and not self._settings.strict_tokens
        return issued.expires_at > self._clock() and not issued.family.revoked

    def expire_access_tokens(self) -> int:
        for token in self._access.values():
            token.expires_at = self._clock()
        return len(self._access)

    def device_of(self, user_code: str) -> Device | None:
        """The waiting authorisation behind a code as people type it: any case, with or without the dash."""
        wanted = user_code.upper().replace("-", "").strip()
        alive = (one for one in self._devices.values() if one.expires_at > self._clock())
        return next((one for one in alive if one.user_code.replace("-", "") == wanted), None)


def _refresh_token() -> str:
    return f"aor{uuid.uuid4().hex}{secrets.token_urlsafe(32)}"
