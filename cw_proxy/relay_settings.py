"""Settings of the relay: defaults < JSON file < environment < command line, resolved into one RelayConfig.

In: the file's text, the environment, the flags given. Out: a RelayConfig, or ConfigError naming the setting. Refuses
to know what settings do. Its variables start with CW_RELAY_: they are no settings of the server.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from cw_proxy import given
from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret
from cw_proxy.urls import is_loopback

PREFIX = "CW_RELAY_"
_FILE_VARIABLE = PREFIX + "CONFIG"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Count = Annotated[int, Meta(gt=0)]


class RelaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As they are written. The first seven are those of the documented filter; docs/how-to/relay.md explains all."""

    upstream_url: str = "wss://api.openai.com"
    auth_header: str = "authorization"
    auth_value: str = "Bearer ${OPENAI_API_KEY}"
    shutdown_timeout: str = "5s"
    listen_addr: str = "127.0.0.1:0"
    otel_endpoint: str = ""
    otel_export_interval: str = "1s"
    api_keys: list[Secret] = []
    allowed_hosts: list[str] = []
    cors_origins: list[str] = []
    max_message_bytes: Count = 20 * 1024 * 1024
    max_sessions: Count = 1000


class RelayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """As the relay needs them; times in seconds."""

    upstream_url: str
    auth_header: str
    auth_value: Secret
    host: str
    port: int
    shutdown_timeout: float = 5.0
    otel_endpoint: str = ""
    otel_export_interval: float = 1.0
    api_keys: list[Secret] = []
    allowed_hosts: list[str] = []
    cors_origins: list[str] = []
    max_message_bytes: int = 20 * 1024 * 1024
    max_sessions: int = 1000


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> RelayConfig:
    """Reads, joins and resolves all sources. Flags that are None were not given. Raises ConfigError."""
    named = environment.get(_FILE_VARIABLE)
    file = path or (Path(named).expanduser() if named else None)
    settings = _checked(_from_file(file), f"in {file}") if file else {}
    settings |= _checked(_from_environment(environment), "in the environment")
    settings |= _checked({name: value for name, value in (flags or {}).items() if value is not None}, "given")
    return resolve(given.converted(settings, RelaySettings, "given"), environment)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as fault:
        raise ConfigError(f"The settings file {path} cannot be read: {fault.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f"The settings file {path} is not a JSON object.") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """CW_RELAY_NAME for every setting; an empty variable is as good as none."""
    found = {
        variable.removeprefix(PREFIX).lower(): text
        for variable, text in environment.items()
        if variable.startswith(PREFIX) and variable != _FILE_VARIABLE and text
    }
    blank = RelaySettings()
    return {name: _typed(text, getattr(blank, name, text)) for name, text in found.items()}


def _typed(text: str, default: object) -> Any:
    if isinstance(default, list):
        return [item.strip() for item in text.split(",")]
    return int(text) if isinstance(default, int) and text.isdecimal() else text


def _checked(settings: dict[str, Any], where: str) -> dict[str, Any]:
    given.check_names(settings, RelaySettings.__struct_fields__, where)
    given.converted(settings, RelaySettings, where)
    return settings


# --- what the texts mean ----------------------------------------------------------------------------------


def resolve(settings: RelaySettings, environment: Mapping[str, str]) -> RelayConfig:
    """Raises ConfigError."""
    host, port = _address(settings.listen_addr)
    if not is_loopback(host) and not settings.api_keys:
        raise ConfigError(
            f"Listening on {host or 'every address'} would let anyone on the network use your upstream key. "
            "Demand a client key: --api-key KEY, or CW_RELAY_API_KEYS."
        )
    return RelayConfig(
        upstream_url=_upstream(settings.upstream_url),
        auth_header=_header_name(settings.auth_header),
        auth_value=expand(settings.auth_value, environment),
        host=host,
        port=port,
        shutdown_timeout=seconds("shutdown_timeout", settings.shutdown_timeout),
        otel_endpoint=_endpoint(settings.otel_endpoint),
        otel_export_interval=seconds("otel_export_interval", settings.otel_export_interval),
        api_keys=settings.api_keys,
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
        max_message_bytes=settings.max_message_bytes,
        max_sessions=settings.max_sessions,
    )


def expand(text: str, environment: Mapping[str, str]) -> Secret:
    """`${NAME}` becomes the variable's value. One that is not set is an error: half a key is sent nowhere."""
    for name in _VARIABLE.findall(text):
        if not environment.get(name, "").strip():
            raise ConfigError(f"'auth_value' needs the variable {name}, which is not set.")
    rest = _VARIABLE.sub("", text)
    if "$" in rest:
        raise ConfigError("'auth_value' has a $ that is not ${NAME}.")
    # A line break at the end is how files and command substitutions end.
    value = _VARIABLE.sub(lambda found: environment[found[1]].strip(), text).strip()
    if not value or not value.isascii() or not value.isprintable():
        raise ConfigError("'auth_value' must be printable ASCII, not an empty text.")
    return Secret(value)


def seconds(name: str, text: str) -> float:
    """A duration as Go writes it."""
    total = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if not _DURATION.fullmatch(text) or not 0 < total <= 86400:
        raise ConfigError(f"{name!r} must be a duration up to a day, such as 5s, 500ms or 1m30s.")
    return total


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not bracketed):
        raise ConfigError("'listen_addr' must be HOST:PORT, such as 127.0.0.1:0 for any free port.")
    return host[1:-1] if bracketed else host, int(port)


def _upstream(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("'upstream_url' is not a URL.") from None
    extra = "@" in parts.netloc or parts.query or parts.fragment
    if parts.scheme not in ("ws", "wss") or not host or port == 0 or extra or not url.isascii() or " " in url:
        raise ConfigError("'upstream_url' must be wss://HOST[:PORT][/PATH].")
    if parts.scheme == "ws" and not is_loopback(host):
        raise ConfigError("'upstream_url' must be wss: plain ws is for loopback only.")
    return url.rstrip("/")


def _endpoint(text: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port is not None
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError("'otel_endpoint' must be HOST:PORT, or http(s)://HOST:PORT.")
    return text


def _header_name(name: str) -> str:
    if not _HEADER_NAME.fullmatch(name):
        raise ConfigError("'auth_header' must be the name of a header.")
    return name
