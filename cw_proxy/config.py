"""Settings: defaults < TOML file < environment < command line, joined into one frozen Config.

In: the file's text, the environment, the flags given. Out: a Config, or ConfigError naming the setting, where it
came from and, for a name that does not exist, the nearest one that does. Refuses to know what settings do.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cw_proxy import given
from cw_proxy.borrowed import Switch, borrowed
from cw_proxy.errors import ConfigError
from cw_proxy.filters.references import OnLicensedCode
from cw_proxy.prompt_templates import check_names
from cw_proxy.secret import Secret
from cw_proxy.urls import check_networks, check_proxy, check_store, check_url, is_loopback, without_password

ENVIRONMENT_PREFIX = "CW_PROXY_"
OPENAI_URL = "https://api.openai.com/v1"

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86400)]
SecondsOrNone = Annotated[float, Meta(ge=0, le=86400)]
Count = Annotated[int, Meta(gt=0)]
Limit = Annotated[int, Meta(ge=0)]
# It becomes part of a host's name, where a bearer token goes.
Region = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,40}\Z")]
ProfileArn = Annotated[str, Meta(pattern=r"^arn:aws[a-z-]*:[a-z]+:[a-z0-9-]{1,40}:\d{12}:profile/[A-Za-z0-9]+\Z")]
StorePlace = Annotated[str, Meta(pattern=r"^(files|keyring|secretsmanager:[A-Za-z0-9/_+=.@:!-]{1,2000})\Z")]
# upstream.md §1.3, Origin
Origin = Literal[
    "AI_EDITOR", "CHATBOT", "CLI", "CONSOLE", "DOCUMENTATION", "GITLAB", "IDE", "INLINE_CHAT", "KIRO_CLI", "KIRO_WEB",
    "MARKETING", "MD", "MD_CE", "MD_IDE", "MOBILE", "OPENSEARCH_DASHBOARD", "Q_DEV_BEXT", "SAGE_MAKER",
    "SERVICE_INTERNAL", "SM_AI_STUDIO_IDE", "UNIFIED_SEARCH", "UNKNOWN",
]  # fmt: skip


def _setting(default: Any, doc: str, env: str | None = None) -> Any:
    """A field with its documentation; `env` where the variable is not CW_PROXY_ + the name in capitals."""
    _DOCS.append((doc, env))
    if isinstance(default, (list, dict)):
        return msgspec.field(default_factory=default.copy)
    return msgspec.field(default=default)


_DOCS: list[tuple[str, str | None]] = []


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting, in the order of the reference (docs/reference/configuration.md, generated from here)."""

    host: str = _setting("127.0.0.1", "Address to listen on. Anything but loopback needs a client key.")
    port: Port = _setting(3000, "Port to listen on; 0 picks a free one.", env="PORT")
    api_keys: list[Secret] = _setting([], "Client keys to demand; none means that any key is accepted.")
    allowed_hosts: list[str] = _setting([], "Host names, beside loopback, that requests may be addressed to.")
    trusted_proxies: list[str] = _setting(
        [], "Addresses or CIDRs of reverse proxies whose `X-Forwarded-For` says who the client is."
    )
    cors_origins: list[str] = _setting([], "Origins whose pages may call the server; `*` allows all.")
    max_body_bytes: Count = _setting(20 * 1024 * 1024, "Largest request body.")
    max_streams: Count = _setting(1000, "Requests answered at the same time; more get 503 `overloaded`.")
    max_streams_per_key: Limit = _setting(
        0, "The same for one client, its key or else its address; more get 429. 0 is no limit of its own."
    )
    rate_limit_max: Limit = _setting(
        0, "Requests in a window for each client key, or for each address where none is demanded; 0 is no limit."
    )
    rate_limit_max_per_address: Limit = _setting(
        0, "Requests in a window for each address, whatever their keys; 0 is no limit."
    )
    # RATE_LIMIT_WINDOW_MS is in milliseconds: whatever reads it divides, and the rounding is the same.
    rate_limit_window: Seconds = _setting(60.0, "Seconds of that window, rounded up to whole ones.")
    rate_limit_store: Secret | None = _setting(
        None, "URL of a Redis or Valkey (`redis://`, `valkey://`, with TLS `rediss://`) that several servers count in."
    )
    max_choices: Count = _setting(8, "Answers to one question (`n`); each is a call of its own.")
    fetch_images: bool = _setting(
        False, "Fetch the images that requests name by https URLs, from public addresses; else they come as data URLs."
    )
    read_timeout: Seconds = _setting(60.0, "Seconds a client may take to send a request's body.")
    write_timeout: Seconds = _setting(60.0, "Seconds a client may take to accept a piece of an answer.")
    drain_timeout: Seconds = _setting(30.0, "Seconds that open streams get to finish after SIGTERM.")
    max_sockets: Count = _setting(1000, "Open WebSockets; more get 503 `overloaded`.")
    socket_heartbeat: Seconds = _setting(25.0, "Seconds between pings on a WebSocket; half of it to answer them.")
    socket_age: Seconds = _setting(3600.0, "Seconds after which a WebSocket is closed, once its turns are done.")
    ping_interval: Seconds = _setting(10.0, "Seconds of silence after which a stream gets a keep-alive comment.")
    region: Region | None = _setting(None, "AWS region of the service; by default the profile's, else us-east-1.")
    profile_arn: ProfileArn | None = _setting(
        None, "Profile to use; by default found out when the service asks for it."
    )
    origin: Origin = _setting("CLI", "Value of the service's Origin enum that calls are labelled with.")
    opt_out: bool = _setting(True, "Tell the service not to use your content for its improvement.")
    streaming_url: str | None = _setting(None, "Base URL of the streaming service, instead of AWS's.")
    runtime_url: str | None = _setting(None, "Base URL of the runtime service (models, profiles).")
    oidc_url: str | None = _setting(None, "Base URL of SSO OIDC.")
    access_token: Secret | None = _setting(None, "A ready bearer token: no login is used, nothing is written to disk.")
    upstream_proxy: Secret | None = _setting(None, "HTTP proxy for calls to the service; else HTTPS_PROXY is used.")
    max_connections: Count = _setting(1000, "Open connections to the service.")
    connect_timeout: Seconds = _setting(10.0, "Seconds to connect to the service.")
    request_timeout: SecondsOrNone = _setting(
        0.0, "Seconds that a whole answer may take; then 504, or an error in its stream. 0 is no limit."
    )
    stall_timeout: Seconds = _setting(300.0, "Seconds the service may stay silent before or within an answer.")
    max_payload_bytes: Count = _setting(600_000, "Largest body sent to the service; more is an error, never cut.")
    backend: Literal["codewhisperer", "openai"] = _setting(
        "codewhisperer", "Who answers: CodeWhisperer, or a server with OpenAI's chat API (`openai_base_url`)."
    )
    openai_base_url: str = _setting(OPENAI_URL, "Base URL of that server, up to and with `/v1`.")
    openai_api_key: Secret | None = _setting(
        None, "That server's key. Clients never see it, and theirs never go there."
    )
    openai_model: str | None = _setting(None, "Its model for the names `auto` and `codewhisperer`.")
    openai_limit_name: Literal["max_completion_tokens", "max_tokens"] | None = _setting(
        None,
        "What it calls a limit of tokens; by default `max_completion_tokens` at OpenAI, `max_tokens` elsewhere.",
    )
    on_licensed_code: OnLicensedCode = _setting(
        "flag",
        "Code under a licence that the service names: `flag` it in `x_cw`, `drop` its text, or `pass` it unsaid.",
    )
    prompt_socket: bool = _setting(
        False, "Serve the prompt socket at `/ws`: text answers to prompt templates and chats."
    )
    prompt_templates: list[str] = _setting(
        [], "Variables, beside `PROMPT_…` and `CW_PROMPT_…`, that its clients may name as system prompts."
    )
    simple_api: bool = _setting(False, "Serve the simple API at `/api/completions`, `/api/completions/stream`.")
    default_model: str = _setting("auto", "What these two ask where a client names no model.")
    store: StorePlace | None = _setting(
        None,
        "Where the sign-in is kept: `files` (0600), `keyring`, or `secretsmanager:NAME` for a secret of AWS; by "
        "default where it is in the home folder, else files.",
    )
    lambda_auth_type: Literal["NONE", "AWS_IAM"] = _setting(
        "NONE", "On Lambda: with `AWS_IAM` whoever AWS has authenticated needs no client key."
    )
    lambda_response_mode: Literal["auto", "streaming", "buffered"] = _setting(
        "auto",
        "On Lambda: `auto` streams to Function URLs, `streaming` to REST APIs as well, `buffered` to none.",
    )
    lambda_socket_mode: Literal["async", "inline"] = _setting(
        "async",
        "On Lambda: a WebSocket's message is acknowledged and answered by another run (`async`), or by the same "
        "one (`inline`), which API Gateway gives 29 seconds.",
    )
    lambda_socket_endpoint: str | None = _setting(
        None,
        "On Lambda: where a WebSocket's answers are posted; by default `https://` with the domain and stage that API "
        "Gateway names, which is wrong behind a domain of one's own.",
    )
    access_log: Literal["off", "text", "json"] = _setting(
        "off", "A line on stderr for each exchange, for people or as JSON; never bodies, paths or keys."
    )
    usage_history: bool = _setting(
        False, "Keep numbers about each exchange in the home folder, for `cw-proxy usage`; never what is said."
    )
    usage_days: Count = _setting(90, "Days that they are kept; at most a million exchanges.")
    metrics: bool = _setting(False, "Serve `/metrics` for Prometheus, to whoever has a client key.")
    key_names: dict[str, str] = _setting(
        {}, "Names of client keys in logs and usage: `[key_names]` table, the eight digits that stand there = name."
    )
    debug: bool = _setting(False, "Log more. Never tokens, keys or what is said.")
    aliases: dict[str, str] = _setting({}, "Names of models: `[aliases]` table, name = id the service lists.")


class SettingDoc(msgspec.Struct, frozen=True):
    name: str
    variable: str
    default: Any
    doc: str


def documentation() -> list[SettingDoc]:
    """Every setting for the reference; a setting without documentation cannot be declared."""
    fields = msgspec.structs.fields(Config)
    blank = Config()
    return [
        SettingDoc(field.name, env or ENVIRONMENT_PREFIX + field.name.upper(), getattr(blank, field.name), doc)
        for field, (doc, env) in zip(fields, _DOCS, strict=True)
    ]


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of tokens and settings: CW_PROXY_HOME, else ~/.codewhisperer-proxy."""
    said = environment.get("CW_PROXY_HOME")
    return Path(said).expanduser() if said else Path.home() / ".codewhisperer-proxy"


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    said = environment.get("CW_PROXY_CONFIG")
    return Path(said).expanduser() if said else home(environment) / "config.toml"


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    path: Path | None = None,
    text: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Config:
    """Reads and joins all sources. Flags that are None were not given; `text` stands for a file that is kept elsewhere.
    Raises ConfigError."""
    file = path or config_path(environment)
    if text is None:
        settings = _checked(_from_file(file, required=path is not None), f"in {file}")
    else:
        settings = _checked(_from_text(text, str(file)), f"in {file}")
    settings |= _checked(_from_environment(environment), "in the environment")
    settings |= _checked(
        {name: value for name, value in (flags or {}).items() if value is not None}, "on the command line"
    )
    config = _converted(_borrowed(_converted(settings), environment) | settings)
    _check_urls(config)
    check_networks("trusted_proxies", config.trusted_proxies)
    check_names(config.prompt_templates)
    return config


def _from_text(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(f"The settings in {name} are not valid TOML: {fault}.") from None


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"There is no settings file {path}.") from None
        return {}
    except OSError as fault:
        raise ConfigError(f"The settings file {path} cannot be read: {fault.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError(f"The settings file {path} is not valid TOML: {fault}.") from None


def at_openai(config: Config) -> bool:
    return config.openai_base_url.rstrip("/") == OPENAI_URL


def uses_openai(config: Config) -> bool:
    """Whether there is an OpenAI upstream: as the default, or beside CodeWhisperer. Raises ConfigError."""
    if config.backend == "openai" and at_openai(config) and config.openai_api_key is None:
        raise ConfigError("OpenAI wants a key: set openai_api_key (CW_PROXY_OPENAI_API_KEY), or openai_base_url.")
    return config.backend == "openai" or config.openai_api_key is not None or not at_openai(config)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """CW_PROXY_NAME for every setting, and PORT. Variables of other CW_PROXY_ names are mistakes."""
    known = {doc.variable: doc.name for doc in documentation()}
    known[ENVIRONMENT_PREFIX + "PORT"] = "port"
    others = {"CW_PROXY_HOME", "CW_PROXY_CONFIG"}
    found: dict[str, Any] = {}
    for variable in sorted(environment, reverse=True):
        if variable in known:
            # An empty variable is as good as none.
            if environment[variable]:
                found[known[variable]] = _typed(known[variable], environment[variable])
        elif variable.startswith(ENVIRONMENT_PREFIX) and variable not in others:
            raise ConfigError(f"{variable} is not a setting.{given.nearest(variable, [*known, *others])}")
    return found


def _borrowed(config: Config, environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one, text in borrowed(_switches(config, environment), environment):
        try:
            found[one.setting] = one.convert(text) if one.convert else _typed(one.setting, text)
            _converted({one.setting: found[one.setting]})
        except msgspec.ValidationError as fault:
            raise ConfigError(f"{one.variable} in the environment is wrong: {fault}.") from None
        except ValueError:
            raise ConfigError(f"{one.variable} in the environment is not a number.") from None
    return found


def _switches(config: Config, environment: Mapping[str, str]) -> set[Switch]:
    openai = config.backend == "openai" and not environment.get("OPENAI_BASE_URL")
    switches = {
        Switch.SIMPLE_API: config.simple_api,
        Switch.PROMPT_SOCKET: config.prompt_socket,
        Switch.OPENAI: openai,
        Switch.OPENAI_ITSELF: openai and at_openai(config),
    }
    return {switch for switch, on in switches.items() if on}


def _typed(name: str, text: str) -> Any:
    """A variable's text as the setting's type; a text that is no such thing is left to the check of types."""
    default = getattr(Config(), name)
    if isinstance(default, bool):
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(text.lower(), text)
    if isinstance(default, (int, float)):
        try:
            return type(default)(text)
        except ValueError:
            return text
    if isinstance(default, list):
        # Commas alone are a list that somebody meant to fill: an empty item, which is refused where it matters.
        return [item.strip() for item in text.split(",") if item.strip()] or [""]
    if isinstance(default, dict):
        pairs = [pair.strip().partition("=") for pair in text.split(",") if pair.strip()]
        return {name.strip(): value.strip() for name, _, value in pairs} if all(pair[1] for pair in pairs) else text
    return text


def _checked(settings: dict[str, Any], where: str) -> dict[str, Any]:
    given.check_names(settings, Config.__struct_fields__, where)
    given.converted(settings, Config, where)
    return settings


def _converted(settings: dict[str, Any]) -> Config:
    return msgspec.convert(settings, Config, dec_hook=given.secret)


def _check_urls(config: Config) -> None:
    for name in ("streaming_url", "runtime_url", "oidc_url", "openai_base_url", "lambda_socket_endpoint"):
        url = getattr(config, name)
        if url is not None:
            check_url(name, url)
    if config.upstream_proxy is not None:
        check_proxy("upstream_proxy", config.upstream_proxy)
    if config.rate_limit_store is not None:
        check_store("rate_limit_store", config.rate_limit_store)


def check_exposure(config: Config) -> None:
    """A server that anyone on the network can reach would lend them the login. Raises ConfigError."""
    if not is_loopback(config.host) and not config.api_keys:
        raise ConfigError(
            f"Listening on {config.host} would let anyone on the network use your login. "
            "Demand a client key: --api-key KEY, or CW_PROXY_API_KEYS."
        )


def check_lambda_exposure(config: Config) -> None:
    """A function's URL is open to the world, and its disk is nobody's. Raises ConfigError."""
    if config.usage_history:
        raise ConfigError("A function on Lambda has no disk that lasts: usage_history would keep nothing there.")
    if config.lambda_auth_type == "NONE" and not config.api_keys:
        raise ConfigError(
            "Without client keys anyone who finds the function's URL could use your login. Set api_keys, or have AWS "
            "authenticate callers and say so: lambda_auth_type = AWS_IAM."
        )


def shown(config: Config) -> dict[str, Any]:
    """The settings for people: what is secret is only said to be there."""
    settings = msgspec.structs.asdict(config)
    settings["api_keys"] = ["***"] * len(config.api_keys)
    settings["access_token"] = "***" if config.access_token else None
    settings["openai_api_key"] = "***" if config.openai_api_key else None
    settings["rate_limit_store"] = without_password(config.rate_limit_store)
    settings["upstream_proxy"] = without_password(config.upstream_proxy)
    return settings
