"""Settings of `cw-proxy nats`: defaults < YAML file < command line, resolved into one NatsConfig.

In: the file's text, the flags given. Out: a NatsConfig, or ConfigError naming the setting, never its value. Refuses to
know connections, and the files of keys and certificates that settings name.

The keys of the file are those of a tool that people have files for already; ours beside them are queue_group,
concurrency, timeout and max_reply_bytes.
"""

from __future__ import annotations

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

DEFAULT_FILE = Path("config.yaml")
_TOKENS = r"^[^\s.*>$][^\s.*>]*(\.[^\s.*>]+)*\Z"
_SCHEMES = ("nats", "tls")

Count = Annotated[int, Meta(gt=0)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
Text = Annotated[str, Meta(min_length=1)]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths of PEM files; without `ca` the system's authorities are trusted."""

    enabled: bool = False
    cert: Text | None = None
    key: Text | None = None
    ca: Text | None = None


class NatsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The members of `nats:` in the file."""

    server: str = "nats://localhost:4222"
    subject: Text = "openai_requests"
    nkey_seed_file: Text | None = None
    tls: Tls = Tls()
    openai_api_key: Secret | None = None
    engine: Text | None = None
    queue_group: Text = "cw-proxy"
    concurrency: Count = 64
    timeout: Seconds = 300.0
    max_reply_bytes: Count | None = None


# Members that hold others, and what those are called in a NatsConfig.
_NESTED = {"nkey": {"seed_file": "nkey_seed_file"}, "openai": {"api_key": "openai_api_key", "engine": "engine"}}
# Flags, and where they go.
_FLAGS = {"nats_server": "server", "tls_cert": "cert", "tls_key": "key", "tls_ca": "ca"}
_OF_TLS = frozenset(Tls.__struct_fields__)


def load(flags: Mapping[str, Any] | None = None, *, path: Path | None = None, ours: bool = True) -> NatsConfig:
    """Joins the sources. Flags that are None were not given; a file that is not named may be missing, and unless it is
    `ours` by right, may be about something else. Raises ConfigError."""
    file = path or DEFAULT_FILE
    found = _from_file(file, required=path is not None)
    if path is None and not ours and not isinstance(found.get("nats"), dict):
        found = {}
    settings = _flattened(found, f"in {file}")
    _converted(settings, f"in {file}")
    flat = {_FLAGS.get(name, name): value for name, value in (flags or {}).items() if value is not None}
    # Who names a certificate means to use it.
    tls = {"enabled": True, **{name: flat.pop(name) for name in _OF_TLS & flat.keys()}}
    settings |= flat
    if len(tls) > 1:
        settings["tls"] = {**settings.get("tls", {}), **tls}
    return _checked(_converted(settings, "given"))


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if required:
            raise ConfigError(f"There is no settings file {path}.") from None
        return {}
    except OSError as fault:
        raise ConfigError(f"The settings file {path} cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The settings file {path} is not UTF-8.") from None
    return _parsed(text, path)


def _parsed(text: str, path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise ConfigError("NATS needs more packages: pip install 'cw-proxy[nats]'.") from None
    try:
        found = yaml.load(text, _strict(yaml.SafeLoader))  # noqa: S506 - a SafeLoader that is stricter
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        # What the parser says shows the line, which may hold a key.
        mark = getattr(fault, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"The settings file {path} is not valid YAML{place}.") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"The settings file {path} holds no settings: it begins with `nats:`.")
    return found


def _strict(loader: Any) -> Any:
    """Of a name that is there twice, YAML takes the last and says nothing."""
    import yaml

    class Strict(loader):  # type: ignore[misc] # a class that is given at run time
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            names = [each.value for each, _ in node.value if isinstance(each, yaml.ScalarNode)]
            for at, name in enumerate(names):
                if name in names[:at] and name != "<<":
                    raise yaml.MarkedYAMLError(
                        problem="a name that is there twice", problem_mark=node.value[at][0].start_mark
                    )
            return super().construct_mapping(node, deep)

    return Strict


def _flattened(found: dict[str, Any], where: str) -> dict[str, Any]:
    """The members of `nats`, with those that stand deeper or beside it."""
    beside = {"nats", "openai", "openai_api_key", "engine"}
    given.check_names(found, beside, where)
    inside = _table(found, "nats", where)
    outside = {name: value for name, value in found.items() if name != "nats"}
    twice = inside.keys() & outside.keys()
    if twice:
        raise ConfigError(f"{min(twice)!r} {where} is there twice.")
    return _unfolded({**outside, **inside}, where)


def _unfolded(settings: dict[str, Any], where: str) -> dict[str, Any]:
    """Without the members that only hold others."""
    flat = {name: value for name, value in settings.items() if name not in _NESTED}
    for outer, names in _NESTED.items():
        inner = _table(settings, outer, where)
        given.check_names(inner, names, where, f"{outer}.")
        for name, value in inner.items():
            if names[name] in flat:
                raise ConfigError(f"'{outer}.{name}' {where} is there twice.")
            flat[names[name]] = value
    given.check_names(flat, NatsConfig.__struct_fields__, where)
    given.check_names(_table(flat, "tls", where), _OF_TLS, where, "tls.")
    return flat


def _table(settings: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    table = settings.get(name)
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise ConfigError(f"{name!r} {where} must hold settings of its own.")
    return table


def _converted(settings: dict[str, Any], where: str) -> NatsConfig:
    said = {name: value for name, value in settings.items() if value is not None}
    return given.converted(said, NatsConfig, where)


def _checked(config: NatsConfig) -> NatsConfig:
    address(config.server)
    for name in ("subject", "queue_group"):
        if not re.search(_TOKENS, getattr(config, name)):
            raise ConfigError(f"{name!r} must be words joined by dots, without spaces, wildcards and a $ in front.")
    if (config.tls.cert is None) != (config.tls.key is None):
        raise ConfigError("'tls.cert' and 'tls.key' belong together: one of them is missing.")
    return config


# --- the server, and subjects on it -----------------------------------------------------------------------


def address(server: str) -> str:
    """Host and port, without what else a URL may hold: a password. Raises ConfigError."""
    try:
        parts = urlsplit(server)
        host, port = parts.hostname, parts.port or 4222
    except ValueError:
        raise ConfigError("'server' is not a URL.") from None
    if parts.scheme not in _SCHEMES or not host or re.search(r"\s", server):
        raise ConfigError("'server' must be nats://HOST[:PORT], or tls://HOST[:PORT].")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def inboxes_of(prefix: str | None) -> str:
    """What the subjects of a client's inboxes begin with. Raises ConfigError."""
    if prefix is None:
        return "_INBOX"
    if not prefix.isascii() or not re.search(_TOKENS, prefix):
        raise ConfigError("The inbox prefix must be a subject such as _INBOX.ann, without wildcards.")
    return prefix


def key_of(said: str) -> str:
    """A client key that fits into a header. Raises ConfigError."""
    try:
        return given.secret(Secret, said).reveal()
    except ValueError:
        raise ConfigError("The key must be printable ASCII without spaces.") from None
