"""What is kept between runs, as values, and as the JSON of AWS's own SSO cache.

In: the bytes of `tokens.json` and `registration.json`. Out: `Login` and `Registration`, and the bytes again, with
fields of other tools kept. Refuses to know files, the clock and the network. Raises ValueError, never quoting a value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from cw_proxy.secret import Secret

BUILDER_ID_START_URL = "https://view.awsapps.com/start"
BUILDER_ID_REGION = "us-east-1"

# The one form AWS's tools read back: UTC, whole seconds.
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
NO_FIELDS = Secret("{}")


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy as a client of one start URL. `expires_at` is epoch seconds."""

    client_id: str
    client_secret: Secret
    expires_at: int
    scopes: tuple[str, ...]
    start_url: str
    region: str


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in. Without `access_token` nobody is, but the start URL is still known.

    `extra` holds the fields we do not know, as JSON: they may be secrets too.
    """

    start_url: str
    region: str
    access_token: Secret | None = None
    expires_at: int = 0
    refresh_token: Secret | None = None
    client_id: str = ""
    client_secret: Secret | None = None
    registration_expires_at: int = 0
    profile_arn: str | None = None
    extra: Secret = NO_FIELDS

    def alive(self, now: float) -> bool:
        return self.access_token is not None and now < self.expires_at

    @property
    def refreshable(self) -> bool:
        return self.refresh_token is not None and self.client_secret is not None and bool(self.client_id)

    def signed_in(self, now: float) -> bool:
        return self.alive(now) or self.refreshable

    @property
    def command(self) -> str:
        """The command that signs in to the same place."""
        if self.start_url in ("", BUILDER_ID_START_URL):
            return "cw-proxy login"
        return f"cw-proxy login --start-url {self.start_url} --region {self.region}"


class _TokensFile(msgspec.Struct, rename="camel", omit_defaults=True):
    start_url: str = ""
    region: str = ""
    access_token: str | None = None
    expires_at: str | None = None
    refresh_token: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    registration_expires_at: str | None = None
    profile_arn: str | None = None


class _RegistrationFile(msgspec.Struct, rename="camel", omit_defaults=True):
    client_id: str
    client_secret: str
    expires_at: str | None = None
    # What the service itself calls it, in epoch seconds; read, never written.
    client_secret_expires_at: int | None = None
    scopes: list[str] = []
    start_url: str = ""
    region: str = ""


def parse_login(data: bytes) -> Login:
    fields = _object(data)
    known = _convert(fields, _TokensFile)
    return Login(
        start_url=known.start_url,
        region=known.region or BUILDER_ID_REGION,
        access_token=_secret(known.access_token),
        expires_at=_epoch(known.expires_at),
        refresh_token=_secret(known.refresh_token),
        client_id=known.client_id or "",
        client_secret=_secret(known.client_secret),
        registration_expires_at=_epoch(known.registration_expires_at),
        profile_arn=known.profile_arn,
        extra=_extra(fields, _TokensFile),
    )


def render_login(login: Login) -> bytes:
    return _render(
        login.extra,
        _TokensFile(
            start_url=login.start_url,
            region=login.region,
            access_token=_reveal(login.access_token),
            expires_at=_stamp(login.expires_at),
            refresh_token=_reveal(login.refresh_token),
            client_id=login.client_id or None,
            client_secret=_reveal(login.client_secret),
            registration_expires_at=_stamp(login.registration_expires_at),
            profile_arn=login.profile_arn,
        ),
    )


def parse_registration(data: bytes) -> Registration:
    known = _convert(_object(data), _RegistrationFile)
    return Registration(
        client_id=known.client_id,
        client_secret=Secret(known.client_secret),
        expires_at=known.client_secret_expires_at or _epoch(known.expires_at),
        scopes=tuple(known.scopes),
        start_url=known.start_url,
        region=known.region,
    )


def render_registration(registration: Registration) -> bytes:
    return _render(
        NO_FIELDS,
        _RegistrationFile(
            client_id=registration.client_id,
            client_secret=registration.client_secret.reveal(),
            expires_at=_stamp(registration.expires_at),
            scopes=list(registration.scopes),
            start_url=registration.start_url,
            region=registration.region,
        ),
    )


# --- JSON ---------------------------------------------------------------------------------------------------

_T = TypeVar("_T", _TokensFile, _RegistrationFile)


def _object(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # The error is made outside: its context would carry the file's text into a traceback.
    raise ValueError("it is not a JSON object")


def _convert(fields: dict[str, Any], shape: type[_T]) -> _T:
    try:
        return msgspec.convert(fields, shape)
    except msgspec.ValidationError as error:
        reason = str(error)
    raise ValueError(reason)


def _extra(fields: dict[str, Any], shape: type[_TokensFile]) -> Secret:
    known = {field.encode_name for field in msgspec.structs.fields(shape)}
    unknown = {name: value for name, value in fields.items() if name not in known}
    return Secret(msgspec.json.encode(unknown).decode())


def _render(extra: Secret, known: _TokensFile | _RegistrationFile) -> bytes:
    fields = msgspec.json.decode(extra.reveal(), type=dict[str, Any]) | msgspec.to_builtins(known)
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def _secret(value: str | None) -> Secret | None:
    if value and not (value.isascii() and value.isprintable()):
        # It would go into a header, where a line break is another header.
        raise ValueError("a token in it is not printable ASCII")
    return Secret(value) if value else None


def _reveal(secret: Secret | None) -> str | None:
    return secret.reveal() if secret else None


def _epoch(text: str | None) -> int:
    if not text:
        return 0
    try:
        return int(datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC).timestamp())
    except ValueError:
        pass
    raise ValueError("a time is not in the form YYYY-MM-DDTHH:MM:SSZ")


def _stamp(epoch: int) -> str | None:
    return datetime.fromtimestamp(epoch, UTC).strftime(TIME_FORMAT) if epoch else None
