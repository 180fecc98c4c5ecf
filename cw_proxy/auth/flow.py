"""Signing in with a device code, and refreshing, as generators of steps (RFC 8628 as SSO OIDC speaks it).

In: what to sign in to, and the outcome of each step with the time it came. Out: steps to perform, at last the tokens.
Refuses to know the network, the clock, the screen and the disk; whoever drives it has those. Owns its deadline.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import msgspec

from cw_proxy.auth.records import BUILDER_ID_REGION, BUILDER_ID_START_URL, Login, Registration
from cw_proxy.errors import ConfigError, LoginRequired, ProxyError, UpstreamError, UpstreamProtocol
from cw_proxy.secret import Secret

CLIENT_NAME = "cw-proxy"
SCOPES = ("codewhisperer:completions", "codewhisperer:analysis", "codewhisperer:conversations")

DEFAULT_INTERVAL = 5.0
# "slow_down: the interval MUST be increased by 5 seconds for this and all subsequent requests" (RFC 8628 3.5).
SLOW_DOWN = 5.0
CODES = 3
REFRESH_ATTEMPTS = 2
# Refresh tokens die with the registration that minted them, so one about to end is not signed in with.
REGISTRATION_MARGIN = 7 * 24 * 3600
# Refusals of a refresh that no retry cures: the person has to sign in again.
DEAD_LOGIN = frozenset({"invalid_grant", "invalid_client", "expired_token", "unauthorized_client", "access_denied"})


class Place(msgspec.Struct, frozen=True):
    """What to sign in to: Builder ID, or an organisation's own start URL and its region."""

    start_url: str = BUILDER_ID_START_URL
    region: str = BUILDER_ID_REGION


# --- steps ------------------------------------------------------------------------------------------------


class Register(msgspec.Struct, frozen=True):
    client_name: str
    scopes: tuple[str, ...]


class Authorize(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: Secret
    start_url: str


class ShowCode(msgspec.Struct, frozen=True):
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: float


class Wait(msgspec.Struct, frozen=True):
    seconds: float


class DeviceGrant(msgspec.Struct, frozen=True):
    """`secret` is the device code."""

    secret: Secret


class RefreshGrant(msgspec.Struct, frozen=True):
    """`secret` is the refresh token."""

    secret: Secret


class CreateToken(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: Secret
    grant: DeviceGrant | RefreshGrant


Step = Register | Authorize | ShowCode | Wait | CreateToken


# --- outcomes ---------------------------------------------------------------------------------------------


class Registered(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: Secret
    expires_at: int


class Authorized(msgspec.Struct, frozen=True):
    device_code: Secret
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: float
    interval: float | None = None


class Granted(msgspec.Struct, frozen=True):
    access_token: Secret
    refresh_token: Secret | None
    expires_in: int


class Refused(msgspec.Struct, frozen=True):
    """The service said no. `error` is OAuth's name for why, `description` its words without our secrets."""

    error: str
    description: str = ""


class Unreachable(msgspec.Struct, frozen=True):
    """The service could not be asked, or did not answer sensibly."""

    error: ProxyError


Answer = Registered | Authorized | Granted | Refused | Unreachable | None


class Outcome(msgspec.Struct, frozen=True):
    now: float
    value: Answer = None


class SignedIn(msgspec.Struct, frozen=True):
    registration: Registration
    login: Login


T = TypeVar("T")
Flow = Generator[Step, Outcome, T]


# --- signing in -------------------------------------------------------------------------------------------


class _StaleRegistration(Exception):
    """The service no longer knows this client: invalid_client."""


def sign_in(place: Place, cached: Registration | None, now: float, *, codes: int = CODES) -> Flow[SignedIn]:
    """Registers unless `cached` still serves, shows up to `codes` codes, polls each until it ends."""
    if cached is not None and serves(cached, place, now):
        try:
            return (yield from _with_codes(cached, codes))
        except _StaleRegistration:
            pass  # Forgotten by the service: a fresh one is made, once.
    registration = yield from _register(place)
    try:
        return (yield from _with_codes(registration, codes))
    except _StaleRegistration:
        pass
    raise UpstreamError("The sign-in service refuses a client it has just registered. Try again later.")


def serves(registration: Registration, place: Place, now: float) -> bool:
    return (
        registration.start_url == place.start_url
        and registration.region == place.region
        and set(registration.scopes) == set(SCOPES)
        and now + REGISTRATION_MARGIN < registration.expires_at
    )


def _register(place: Place) -> Flow[Registration]:
    outcome = yield Register(CLIENT_NAME, SCOPES)
    if not isinstance(outcome.value, Registered):
        raise _failure(outcome.value, "to register this client")
    return Registration(
        client_id=outcome.value.client_id,
        client_secret=outcome.value.client_secret,
        expires_at=outcome.value.expires_at,
        scopes=SCOPES,
        start_url=place.start_url,
        region=place.region,
    )


def _with_codes(registration: Registration, codes: int) -> Flow[SignedIn]:
    for _ in range(codes):
        login = yield from _with_code(registration)
        if login is not None:
            return SignedIn(registration, login)
    raise LoginRequired("The code expired before it was confirmed. Run `cw-proxy login` to get a new one.")


def _with_code(registration: Registration) -> Flow[Login | None]:
    outcome = yield Authorize(registration.client_id, registration.client_secret, registration.start_url)
    code = _authorized(outcome.value)
    deadline = outcome.now + code.expires_in
    yield ShowCode(code.user_code, code.verification_uri, code.verification_uri_complete, code.expires_in)
    return (yield from _poll(registration, code, outcome.now, deadline))


def _authorized(value: Answer) -> Authorized:
    match value:
        case Authorized():
            return value
        case Refused(error="invalid_client"):
            raise _StaleRegistration
        case Refused(error="invalid_request"):
            raise ConfigError(
                f"The sign-in service refused the start URL. Check --start-url and --region.{_said(value)}"
            )
        case _:
            raise _failure(value, "to start a sign-in")


def _poll(registration: Registration, code: Authorized, now: float, deadline: float) -> Flow[Login | None]:
    """None when the code ended unconfirmed."""
    interval = max(DEFAULT_INTERVAL if code.interval is None else code.interval, 1.0)
    ask = CreateToken(registration.client_id, registration.client_secret, DeviceGrant(code.device_code))
    while now + interval < deadline:
        yield Wait(interval)
        outcome = yield ask
        now = outcome.now
        match outcome.value:
            case Granted() as granted:
                return _login(registration, granted, now)
            case Refused(error="expired_token"):
                return None
            case value:
                interval += _slower(value)
    return None


def _slower(value: Answer) -> float:
    """Seconds to add to the interval before asking again; raises when asking again is no use."""
    match value:
        case Refused(error="authorization_pending"):
            return 0.0
        # "on encountering a connection timeout, clients MUST unilaterally reduce their polling frequency".
        case Refused(error="slow_down") | Unreachable():
            return SLOW_DOWN
        case Refused(error="access_denied"):
            raise LoginRequired("The sign-in was denied in the browser. Run `cw-proxy login` to try again.")
        case Refused(error="invalid_client"):
            raise _StaleRegistration
        case _:
            raise _failure(value, "to finish the sign-in")


def _login(registration: Registration, granted: Granted, now: float) -> Login:
    return Login(
        start_url=registration.start_url,
        region=registration.region,
        access_token=granted.access_token,
        expires_at=int(now) + granted.expires_in,
        refresh_token=granted.refresh_token,
        client_id=registration.client_id,
        client_secret=registration.client_secret,
        registration_expires_at=registration.expires_at,
    )


# --- refreshing -------------------------------------------------------------------------------------------


def refresh(login: Login) -> Flow[Login | Refused]:
    """The login with new tokens, or the service's refusal. Raises what made the service unreachable."""
    if not login.refreshable or login.refresh_token is None or login.client_secret is None:
        return Refused("invalid_grant", "there is no refresh token")
    ask = CreateToken(login.client_id, login.client_secret, RefreshGrant(login.refresh_token))
    outcome = yield ask
    for _ in range(REFRESH_ATTEMPTS - 1):
        if not _slowed(outcome.value):
            break
        yield Wait(SLOW_DOWN)
        outcome = yield ask
    return _refreshed(login, outcome)


def _slowed(value: Answer) -> bool:
    return isinstance(value, Refused) and value.error == "slow_down"


def _refreshed(login: Login, outcome: Outcome) -> Login | Refused:
    match outcome.value:
        case Granted() as granted:
            return msgspec.structs.replace(
                login,
                access_token=granted.access_token,
                expires_at=int(outcome.now) + granted.expires_in,
                # The service may leave it out: then the old one goes on.
                refresh_token=granted.refresh_token or login.refresh_token,
            )
        case Refused() as refused:
            return refused
        case value:
            raise _failure(value, "to refresh the sign-in")


# --- failures ---------------------------------------------------------------------------------------------


def _failure(value: Answer, purpose: str) -> ProxyError:
    match value:
        case Unreachable(error):
            return error
        case Refused():
            return UpstreamError(f"The sign-in service refused {purpose} ({value.error}).{_said(value)}")
        case _:
            return UpstreamProtocol(f"The sign-in service was asked {purpose} and answered something else.")


def _said(refused: Refused) -> str:
    return f" It said: {refused.description}" if refused.description else ""
