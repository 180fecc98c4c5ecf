"""The only door to boto3 for SSO OIDC. Nothing of botocore's passes it: no exception, no traceback, no log line.

In: a step of `flow`. Out: its outcome, or an UpstreamError. boto3 is imported with the first call, not with this
module: a server that never refreshes never pays the third of a second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from cw_proxy import __version__
from cw_proxy.auth import flow
from cw_proxy.auth.quiet import cap_third_party_loggers
from cw_proxy.errors import ConfigError, ProxyError, UpstreamProtocol, UpstreamTimeout, UpstreamTls, UpstreamUnavailable
from cw_proxy.secret import Secret
from cw_proxy.urls import check_url, is_loopback

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
ATTEMPTS = 2
DESCRIPTION_CHARACTERS = 200

_THROTTLED = frozenset({"throttling", "throttled", "too_many_requests", "request_limit_exceeded"})


class _Client(Protocol):
    """What we use of boto3's client, which has no type until it is imported."""

    def register_client(self, **fields: Any) -> Mapping[str, Any]: ...

    def start_device_authorization(self, **fields: Any) -> Mapping[str, Any]: ...

    def create_token(self, **fields: Any) -> Mapping[str, Any]: ...


class BotoOidc:
    """SSO OIDC of one region. Every call blocks: run it in a thread."""

    def __init__(
        self,
        region: str,
        *,
        endpoint_url: str | None = None,
        proxy: Secret | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
        attempts: int = ATTEMPTS,
    ) -> None:
        if not re.fullmatch(r"[a-z0-9-]{1,40}", region):
            raise ConfigError(f"{region!r} is not the name of an AWS region.")
        self._region = region
        self._endpoint_url = endpoint_url or None
        self._loopback = bool(endpoint_url) and check_endpoint(endpoint_url or "")
        self._proxy = proxy
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._attempts = attempts
        self._made: _Client | None = None

    def register(self, step: flow.Register) -> flow.Registered | flow.Refused:
        return self._ask(
            lambda client: client.register_client(
                clientName=step.client_name, clientType="public", scopes=list(step.scopes)
            ),
            _registered,
        )

    def authorize(self, step: flow.Authorize) -> flow.Authorized | flow.Refused:
        secret = step.client_secret.reveal()
        return self._ask(
            lambda client: client.start_device_authorization(
                clientId=step.client_id, clientSecret=secret, startUrl=step.start_url
            ),
            _authorized,
            secret,
        )

    def create_token(self, step: flow.CreateToken) -> flow.Granted | flow.Refused:
        secret = step.client_secret.reveal()
        fields = _grant_fields(step.grant)
        return self._ask(
            lambda client: client.create_token(clientId=step.client_id, clientSecret=secret, **fields),
            _granted,
            secret,
            step.grant.secret.reveal(),
        )

    def _ask(
        self,
        call: Callable[[_Client], Mapping[str, Any]],
        parse: Callable[[Mapping[str, Any]], flow.T],
        *secrets: str,
    ) -> flow.T | flow.Refused:
        failure: BaseException
        try:
            return parse(call(self._client()))
        except _foreign() as error:
            failure = error
        # Outside the handler: inside it botocore's error, whose frames hold the secrets, would be our context.
        answer = translate(failure, secrets)
        if isinstance(answer, ProxyError):
            raise answer
        return answer

    def _client(self) -> _Client:
        if self._made is None:
            cap_third_party_loggers()
            self._made = self._make()
        return self._made

    def _make(self) -> _Client:
        import boto3
        import botocore.session
        from botocore import UNSIGNED
        from botocore.config import Config

        # Our own settings only: a profile or endpoint for some other work must not decide where we sign in.
        variables: dict[str, Any] = {
            "profile": (None, [], None, None),
            "config_file": (None, None, os.devnull, None),
        }
        options: dict[str, Any] = {
            # No credential chain: without this, making a client may ask the instance metadata service.
            "signature_version": UNSIGNED,
            "user_agent_extra": f"cw-proxy/{__version__}",
            "connect_timeout": self._connect_seconds,
            "read_timeout": self._read_seconds,
            "retries": {"total_max_attempts": self._attempts, "mode": "standard"},
            "ignore_configured_endpoint_urls": True,
            "proxies": self._proxies(),
        }
        session = boto3.Session(botocore_session=botocore.session.Session(session_vars=variables))
        client: Any = session.client(
            "sso-oidc", region_name=self._region, endpoint_url=self._endpoint_url, config=Config(**options)
        )
        made: _Client = client
        return made

    def _proxies(self) -> dict[str, str] | None:
        """None leaves it to the environment. An HTTP proxy cannot reach our loopback."""
        if self._loopback or self._proxy is None:
            return {} if self._loopback else None
        return dict.fromkeys(("http", "https"), self._proxy.reveal())


def check_endpoint(url: str) -> bool:
    """Whether it is loopback. Raises ConfigError for plain http anywhere else, and for what is no URL."""
    check_url("oidc_url", url)
    return is_loopback(urlsplit(url).hostname or "")


def _grant_fields(grant: flow.DeviceGrant | flow.RefreshGrant) -> dict[str, Any]:
    match grant:
        case flow.DeviceGrant(secret):
            return {"grantType": DEVICE_GRANT, "deviceCode": secret.reveal()}
        case flow.RefreshGrant(secret):
            return {"grantType": REFRESH_GRANT, "refreshToken": secret.reveal()}


# --- what came back -----------------------------------------------------------------------------------------


def _registered(reply: Mapping[str, Any]) -> flow.Registered:
    return flow.Registered(
        client_id=_text(reply, "clientId"),
        client_secret=Secret(_text(reply, "clientSecret")),
        expires_at=_seconds(reply, "clientSecretExpiresAt"),
    )


def _authorized(reply: Mapping[str, Any]) -> flow.Authorized:
    uri = _text(reply, "verificationUri")
    return flow.Authorized(
        device_code=Secret(_text(reply, "deviceCode")),
        user_code=_text(reply, "userCode"),
        verification_uri=uri,
        verification_uri_complete=reply.get("verificationUriComplete") or uri,
        expires_in=_seconds(reply, "expiresIn"),
        interval=reply.get("interval"),
    )


def _granted(reply: Mapping[str, Any]) -> flow.Granted:
    renewed = reply.get("refreshToken")
    return flow.Granted(
        access_token=Secret(_text(reply, "accessToken")),
        refresh_token=Secret(renewed) if renewed else None,
        expires_in=_seconds(reply, "expiresIn"),
    )


def _text(reply: Mapping[str, Any], name: str) -> str:
    value = reply[name]
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def _seconds(reply: Mapping[str, Any], name: str) -> int:
    value = reply[name]
    if not isinstance(value, int) or value <= 0:
        raise ValueError(name)
    return value


# --- what went wrong ----------------------------------------------------------------------------------------


def _foreign() -> tuple[type[BaseException], ...]:
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    # botocore's parsers let the last four escape on a body of the wrong shape.
    return BotoCoreError, ClientError, ResponseParserError, ValueError, TypeError, KeyError, AttributeError


def translate(failure: BaseException, secrets: tuple[str, ...] = ()) -> flow.Refused | ProxyError:
    """One of botocore's exceptions as a refusal of the service, or as our own error."""
    from botocore import exceptions as boto

    match failure:
        case boto.ClientError():
            return _refused(failure.response, secrets)
        case boto.SSLError():
            return UpstreamTls("The TLS connection to the sign-in service failed. Behind a proxy, set AWS_CA_BUNDLE.")
        case boto.ConnectTimeoutError() | boto.ReadTimeoutError():
            return UpstreamTimeout("The sign-in service did not answer in time.")
        case boto.ConnectionError() | boto.HTTPClientError():
            return UpstreamUnavailable("The sign-in service cannot be reached.")
        case _:
            return UpstreamProtocol("The sign-in service sent an answer that makes no sense.")


def _refused(response: Mapping[str, Any], secrets: tuple[str, ...]) -> flow.Refused | ProxyError:
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    error = error_name(response)
    if status == 429 or error in _THROTTLED:
        return flow.Refused("slow_down")
    if status >= 500:
        return UpstreamUnavailable(f"The sign-in service failed with status {status}.")
    if not error:
        return UpstreamProtocol(f"The sign-in service answered with status {status} and no reason.")
    return flow.Refused(error, _scrubbed(str(response.get("error_description") or ""), secrets))


def error_name(response: Mapping[str, Any]) -> str:
    """OAuth's name: the body's `error`, else the exception type's (SlowDownException is slow_down)."""
    name = response.get("error")
    if not isinstance(name, str) or not name:
        code = str(response.get("Error", {}).get("Code") or "").removesuffix("Exception")
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).lower()
    # An HTML page of some proxy in between comes as the code "403": a status is not a reason.
    return name if re.fullmatch(r"[a-z][a-z_]{0,60}", name) else ""


def _scrubbed(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return "".join(character for character in text if character.isprintable())[:DESCRIPTION_CHARACTERS]
