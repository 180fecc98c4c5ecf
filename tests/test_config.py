"""Flags, environment and a file go in; one Config comes out, or the error that names the setting and its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.config import (
    ENVIRONMENT_PREFIX,
    Config,
    SettingDoc,
    config_path,
    documentation,
    home,
    load,
    shown,
    uses_openai,
)
from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("")
    return path


def refusal(file: Path, toml: str = "", environment: dict[str, str] | None = None, **flags: Any) -> str:
    file.write_text(toml)
    with pytest.raises(ConfigError) as raised:
        load(flags, path=file, environment=environment or {})
    return raised.value.message


# --- who wins ---


def test_flags_over_environment_over_file_over_defaults(file: Path) -> None:
    def port(toml: str, environment: dict[str, str], flag: int | None) -> int:
        file.write_text(toml)
        return load({"port": flag}, path=file, environment=environment).port

    assert port("", {}, None) == 3000
    assert port("port = 1", {}, None) == 1
    assert port("port = 1", {"PORT": "2"}, None) == 2
    assert port("port = 1", {"PORT": "2", "CW_PROXY_PORT": "3"}, None) == 3
    assert port("port = 1", {"PORT": "2", "CW_PROXY_PORT": "3"}, 4) == 4


def test_an_empty_variable_is_as_good_as_none(file: Path) -> None:
    file.write_text('port = 1\nregion = "eu-central-1"')
    config = load(path=file, environment={"PORT": "2", "CW_PROXY_PORT": "", "CW_PROXY_REGION": ""})
    assert (config.port, config.region) == (2, "eu-central-1")


def test_each_source_sets_what_the_others_leave(file: Path) -> None:
    file.write_text('host = "::1"\n[aliases]\nfast = "claude-x"')
    config = load({"debug": True, "origin": None}, path=file, environment={"CW_PROXY_OPT_OUT": "no"})
    assert (config.host, config.aliases, config.debug, config.opt_out) == ("::1", {"fast": "claude-x"}, True, False)
    assert config.origin == "CLI"


VARIABLES = [
    ("CW_PROXY_PORT", "80", "port", 80),
    ("CW_PROXY_READ_TIMEOUT", "1.5", "read_timeout", 1.5),
    ("CW_PROXY_DEBUG", "1", "debug", True),
    ("CW_PROXY_DEBUG", "TRUE", "debug", True),
    ("CW_PROXY_DEBUG", "no", "debug", False),
    ("CW_PROXY_API_KEYS", "a, b,,", "api_keys", [Secret("a"), Secret("b")]),
    ("CW_PROXY_ALLOWED_HOSTS", "a.example", "allowed_hosts", ["a.example"]),
    ("CW_PROXY_ALIASES", "a=b, c = d=e", "aliases", {"a": "b", "c": "d=e"}),
    ("CW_PROXY_ACCESS_TOKEN", "t", "access_token", Secret("t")),
    ("CW_PROXY_STORE", "keyring", "store", "keyring"),
    ("CW_PROXY_ON_LICENSED_CODE", "pass", "on_licensed_code", "pass"),
    ("HOME", "/x", "host", "127.0.0.1"),
]


@pytest.mark.parametrize(("variable", "text", "name", "value"), VARIABLES)
def test_a_variables_text_becomes_the_settings_type(
    file: Path, variable: str, text: str, name: str, value: object
) -> None:
    assert getattr(load(path=file, environment={variable: text}), name) == value


def a_text_for(doc: SettingDoc) -> str:
    """Some text that sets it to anything but its default."""
    if doc.name.endswith("_url"):
        return "https://service.example"
    chosen = {
        "store": "keyring",
        "on_licensed_code": "drop",
        "origin": "CHATBOT",
        "profile_arn": "arn:aws:codewhisperer:eu-central-1:000000000000:profile/EXAMPLE",
        "upstream_proxy": "http://proxy.example:8080",
        "backend": "openai",
        "access_log": "json",
        "trusted_proxies": "10.0.0.0/8,127.0.0.1",
        "rate_limit_store": "redis://store.example",
        "openai_limit_name": "max_tokens",
        "prompt_templates": "MY_TEMPLATE",
        "lambda_auth_type": "AWS_IAM",
        "lambda_response_mode": "streaming",
        "lambda_socket_mode": "inline",
        "lambda_socket_endpoint": "https://abc.execute-api.eu-central-1.amazonaws.com/prod",
    }
    if doc.name in chosen:
        return chosen[doc.name]
    by_type = {bool: "no" if doc.default else "yes", int: "7", float: "7.5", list: "x", dict: "x=y"}
    return by_type.get(type(doc.default), "x")


@pytest.mark.parametrize("doc", documentation(), ids=lambda doc: doc.name)
def test_every_setting_can_be_set_by_its_variable(file: Path, doc: SettingDoc) -> None:
    config = load(path=file, environment={doc.variable: a_text_for(doc)})
    changed = [name for name, value in msgspec.structs.asdict(config).items() if value != getattr(Config(), name)]
    assert changed == [doc.name]


# --- the OpenAI upstream ---

SHELL = {"OPENAI_API_KEY": "sk-of-the-shell"}
CHOSEN = {"CW_PROXY_BACKEND": "openai"}
ELSEWHERE = {"CW_PROXY_OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        (SHELL, None),
        (SHELL | CHOSEN, "sk-of-the-shell"),
        (SHELL | CHOSEN | {"CW_PROXY_OPENAI_BASE_URL": "https://api.openai.com/v1/"}, "sk-of-the-shell"),
        (SHELL | CHOSEN | {"CW_PROXY_OPENAI_API_KEY": "sk-ours"}, "sk-ours"),
        # OpenAI's key never goes to another server,
        (SHELL | CHOSEN | ELSEWHERE, None),
        # and a key for another server, this proxy perhaps, never goes to OpenAI.
        (SHELL | CHOSEN | {"OPENAI_BASE_URL": "http://127.0.0.1:3000/v1"}, None),
        (CHOSEN | {"OPENAI_API_KEY": " "}, None),
    ],
)
def test_the_usual_variable_counts_for_openais_own_server_only(
    file: Path, environment: dict[str, str], key: str | None
) -> None:
    found = load(path=file, environment=environment).openai_api_key
    assert found == (Secret(key) if key else None)


def test_an_unusable_key_is_refused_without_being_shown(file: Path) -> None:
    message = refusal(file, environment=CHOSEN | {"OPENAI_API_KEY": "a canary"})
    assert "OPENAI_API_KEY" in message
    assert "canary" not in message


@pytest.mark.parametrize(
    ("environment", "used"),
    [({}, False), (SHELL, False), (SHELL | CHOSEN, True), ({"CW_PROXY_OPENAI_API_KEY": "k"}, True), (ELSEWHERE, True)],
)
def test_when_there_is_an_openai_upstream(file: Path, environment: dict[str, str], used: bool) -> None:
    assert uses_openai(load(path=file, environment=environment)) is used


def test_openai_itself_wants_a_key_and_others_may_not(file: Path) -> None:
    with pytest.raises(ConfigError, match="CW_PROXY_OPENAI_API_KEY"):
        uses_openai(load(path=file, environment=CHOSEN))
    assert uses_openai(load(path=file, environment=CHOSEN | ELSEWHERE))


# --- variables that others know too ---

SIMPLE = {"CW_PROXY_SIMPLE_API": "1"}
SOCKET = {"CW_PROXY_PROMPT_SOCKET": "1"}
SHELLS = {
    "DEFAULT_MODEL": "m",
    "REQUEST_TIMEOUT": "1500",
    "CORS_ORIGINS": "https://a.example, https://b.example",
    "OPENAI_MODEL": "gpt-5",
}
ORIGINS = ["https://a.example", "https://b.example"]
BORROWED_CASES: list[tuple[dict[str, str], tuple[str, float, list[str], str | None]]] = [
    ({}, ("auto", 0.0, [], None)),
    (SIMPLE, ("m", 1.5, ORIGINS, None)),
    (SOCKET, ("m", 0.0, [], None)),
    (CHOSEN, ("auto", 0.0, [], "gpt-5")),
    (CHOSEN | ELSEWHERE, ("auto", 0.0, [], "gpt-5")),
    (CHOSEN | {"OPENAI_BASE_URL": "http://127.0.0.1:3000/v1"}, ("auto", 0.0, [], None)),
    # Ours outrank them.
    (SIMPLE | {"CW_PROXY_DEFAULT_MODEL": "n", "CW_PROXY_REQUEST_TIMEOUT": "7"}, ("n", 7.0, ORIGINS, None)),
    (CHOSEN | {"CW_PROXY_OPENAI_MODEL": "gpt-6"}, ("auto", 0.0, [], "gpt-6")),
]


@pytest.mark.parametrize(("environment", "values"), BORROWED_CASES)
def test_a_shells_variables_count_only_for_what_is_switched_on(
    file: Path, environment: dict[str, str], values: tuple[object, ...]
) -> None:
    config = load(path=file, environment=SHELLS | environment)
    assert (config.default_model, config.request_timeout, config.cors_origins, config.openai_model) == values


def test_where_a_gateway_takes_posts_counts_with_the_prompt_socket(file: Path) -> None:
    shell = {"API_GW_ENDPOINT": "https://ws.example/prod"}
    assert load(path=file, environment=shell).lambda_socket_endpoint is None
    chosen = load(path=file, environment=shell | {"CW_PROXY_PROMPT_SOCKET": "1"})
    assert chosen.lambda_socket_endpoint == "https://ws.example/prod"


def test_a_shells_limits_count_with_the_simple_api(file: Path) -> None:
    shell = {"RATE_LIMIT_MAX": "100", "RATE_LIMIT_WINDOW_MS": "900000"}
    simple, plain = load(path=file, environment=shell | SIMPLE), load(path=file, environment=shell)
    assert (simple.rate_limit_max, simple.rate_limit_window) == (100, 900.0)
    assert plain.rate_limit_max == 0


def test_the_file_outranks_a_shells_variables(file: Path) -> None:
    file.write_text('default_model = "of-the-file"\nsimple_api = true')
    assert load(path=file, environment=SHELLS).default_model == "of-the-file"
    assert load({"default_model": "flag"}, path=file, environment=SHELLS).default_model == "flag"


@pytest.mark.parametrize("value", ["canary", "-1", "nan", "inf", "1e12"])
def test_a_shells_variable_that_is_wrong_is_named_but_not_repeated(file: Path, value: str) -> None:
    message = refusal(file, environment=SIMPLE | {"REQUEST_TIMEOUT": value})
    assert message.startswith("REQUEST_TIMEOUT in the environment is ")
    assert value not in message.removeprefix("REQUEST_TIMEOUT")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "my_template", "SOME_TOKEN"])
def test_a_secret_cannot_be_listed_as_a_template(file: Path, name: str) -> None:
    assert "prompt_templates must not list" in refusal(file, f"prompt_templates = ['{name}']")


# --- what is refused ---

WRONG = [
    ("port = 'canary'", {}, {}, "port", "in "),
    ("port = 65536", {}, {}, "port", "in "),
    ("port = true", {}, {}, "port", "in "),
    ("max_streams = 0", {}, {}, "max_streams", "in "),
    ("read_timeout = nan", {}, {}, "read_timeout", "in "),
    ("api_keys = 'canary'", {}, {}, "api_keys", "in "),
    ("api_keys = [1]", {}, {}, "api_keys", "in "),
    ("access_token = ['canary']", {}, {}, "access_token", "in "),
    ("debug = 'canary'", {}, {}, "debug", "in "),
    ("aliases = {a = 1}", {}, {}, "aliases", "in "),
    ("", {"PORT": "canary"}, {}, "port", "in the environment"),
    ("", {"CW_PROXY_DEBUG": "canary"}, {}, "debug", "in the environment"),
    ("", {"CW_PROXY_READ_TIMEOUT": "canary"}, {}, "read_timeout", "in the environment"),
    ("", {"CW_PROXY_ALIASES": "a=b,canary"}, {}, "aliases", "in the environment"),
    ("", {}, {"port": "canary"}, "port", "on the command line"),
    ("", {}, {"access_token": 1}, "access_token", "on the command line"),
    ("api_keys = ['']", {}, {}, "api_keys", "in "),
    ("api_keys = ['  ']", {}, {}, "api_keys", "in "),
    ('access_token = "can\\r\\nary"', {}, {}, "access_token", "in "),
    ("", {"CW_PROXY_API_KEYS": ","}, {}, "api_keys", "in the environment"),
    ("access_token = 'canaryé'", {}, {}, "access_token", "in "),
    ("region = 'canary.example/'", {}, {}, "region", "in "),
    ("profile_arn = 'canary'", {}, {}, "profile_arn", "in "),
    ("connect_timeout = inf", {}, {}, "connect_timeout", "in "),
    ("origin = 'CANARY'", {}, {}, "origin", "in "),
    ("rate_limit_max = -1", {}, {}, "rate_limit_max", "in "),
]


@pytest.mark.parametrize(("toml", "environment", "flags", "name", "where"), WRONG)
def test_a_wrong_value_is_named_but_not_repeated(
    file: Path, toml: str, environment: dict[str, str], flags: dict[str, Any], name: str, where: str
) -> None:
    message = refusal(file, toml, environment, **flags)
    assert name in message
    assert where in message
    assert "canary" not in message


UNKNOWN = [
    ("prot = 1", {}, {}, "'prot' in ", "'port'"),
    ("[alias]\na = 'b'", {}, {}, "'alias' in ", "'aliases'"),
    ("", {"CW_PROXY_API_KEY": "canary"}, {}, "CW_PROXY_API_KEY ", "'CW_PROXY_API_KEYS'"),
    ("", {}, {"hots": "canary"}, "'hots' on the command line", "'host'"),
]


@pytest.mark.parametrize(("toml", "environment", "flags", "name", "nearest"), UNKNOWN)
def test_an_unknown_setting_is_told_its_nearest(
    file: Path, toml: str, environment: dict[str, str], flags: dict[str, Any], name: str, nearest: str
) -> None:
    message = refusal(file, toml, environment, **flags)
    assert name in message
    assert f"Did you mean {nearest}?" in message
    assert "canary" not in message


def test_a_setting_like_no_other_has_no_nearest(file: Path) -> None:
    assert "Did you mean" not in refusal(file, "qqqq = 1")


def test_files_that_cannot_be_read(file: Path) -> None:
    assert "not valid TOML" in refusal(file, "port = ")
    file.write_bytes(b"\xff")
    for broken, message in [(file, "not valid TOML"), (file.parent, "cannot be read"), (file / "x", "cannot be read")]:
        with pytest.raises(ConfigError, match=message):
            load(path=broken, environment={})


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no settings file"):
        load(path=tmp_path / "none.toml", environment={})
    assert load(environment={"CW_PROXY_HOME": str(tmp_path)}) == Config()


def test_where_the_file_is(tmp_path: Path) -> None:
    assert home({}) == Path.home() / ".codewhisperer-proxy"
    assert home({"CW_PROXY_HOME": "~/x"}) == Path.home() / "x"
    assert config_path({"CW_PROXY_HOME": "/h"}) == Path("/h/config.toml")
    assert config_path({"CW_PROXY_HOME": "/h", "CW_PROXY_CONFIG": "/c.toml"}) == Path("/c.toml")
    (tmp_path / "config.toml").write_text("port = 7")
    assert load(environment={"CW_PROXY_HOME": str(tmp_path)}).port == 7


# --- URLs that a token goes to ---

URLS = [
    ("https://service.example", True),
    ("https://service.example:8443/base/", True),
    ("http://127.0.0.1:3001", True),
    ("http://localhost", True),
    ("http://[::1]:3001", True),
    ("http://service.example", False),
    ("http://127.0.0.1.evil", False),
    ("http://localhost.evil", False),
    ("http://127.0.0.1@evil", False),
    ("http://evil@127.0.0.1", False),
    ("http://:password@127.0.0.1", False),
    ("https://user:password@service.example", False),
    ("https://@service.example", False),
    ("http://0.0.0.0", False),
    ("https://service.example?q=1", False),
    ("https://service.example#f", False),
    ("https://", False),
    ("https:service.example", False),
    ("https://service.example:99999", False),
    ("https://service.example:x", False),
    ("http://[::1", False),
    ("ftp://service.example", False),
    ("service.example", False),
    ("", False),
]


@pytest.mark.parametrize(("url", "allowed"), URLS)
@pytest.mark.parametrize("name", ["streaming_url", "runtime_url", "oidc_url", "lambda_socket_endpoint"])
def test_a_token_goes_to_https_or_to_this_machine(file: Path, name: str, url: str, allowed: bool) -> None:
    if allowed:
        assert getattr(load({name: url}, path=file, environment={}), name) == url
        return
    assert name in refusal(file, **{name: url})


@pytest.mark.parametrize("written", ["*", "10.0.0.1/8", "proxy.example", ""])
def test_a_trusted_proxy_is_an_address_or_a_network(file: Path, written: str) -> None:
    assert "trusted_proxies" in refusal(file, trusted_proxies=["127.0.0.1", written])


STORES = [
    ("redis://127.0.0.1:6379", True),
    ("rediss://user:canary@store.example/2", True),
    ("valkey://store.example", True),
    ("valkeys://store.example", True),
    ("memcached://canary", False),
    ("redis://", False),
    ("redis://h:x", False),
    ("redis://h?password=canary", False),
    ("canary", False),
]


@pytest.mark.parametrize(("url", "allowed"), STORES)
def test_the_store_of_rate_limits(file: Path, url: str, allowed: bool) -> None:
    if allowed:
        config = load(path=file, environment={"CW_PROXY_RATE_LIMIT_STORE": url})
        assert "canary" not in str(shown(config))
    else:
        message = refusal(file, "", {"CW_PROXY_RATE_LIMIT_STORE": url})
        assert "rate_limit_store" in message
        assert "canary" not in message


# --- what people see ---


def test_every_setting_is_documented() -> None:
    names = [field.name for field in msgspec.structs.fields(Config)]
    docs = documentation()
    assert [doc.name for doc in docs] == names
    assert all(doc.doc.endswith(".") and len(doc.doc) > 10 for doc in docs)
    assert len({doc.variable for doc in docs}) == len(docs)
    assert all(doc.variable in ("PORT", ENVIRONMENT_PREFIX + doc.name.upper()) for doc in docs)
    assert {doc.name: doc.default for doc in docs} == msgspec.structs.asdict(Config())


def test_defaults_are_not_shared() -> None:
    Config().api_keys.append(Secret("x"))
    assert Config().api_keys == []


@pytest.mark.parametrize(
    "proxy", ["canary", "canary:8080", "ftp://canary", "socks5://canary:1", "http://", "http://x:y"]
)
def test_a_proxy_that_is_no_url_is_refused_unseen(file: Path, proxy: str) -> None:
    message = refusal(file, "", {"CW_PROXY_UPSTREAM_PROXY": proxy})
    assert "upstream_proxy" in message
    assert "canary" not in message


def test_a_line_break_at_the_end_of_a_secret_is_how_files_end(file: Path) -> None:
    assert load(path=file, environment={"CW_PROXY_ACCESS_TOKEN": "token\n"}).access_token == Secret("token")


PROXIES = [
    (None, None),
    ("http://proxy.example:8080", "http://proxy.example:8080"),
    ("http://user:canary@proxy.example:8080", "http://***@proxy.example:8080"),
    ("http://user:can@ary@proxy.example", "http://***@proxy.example"),
    ("user:canary@proxy.example", "***@proxy.example"),
]


@pytest.mark.parametrize(("proxy", "seen"), PROXIES)
def test_a_proxys_password_is_not_shown(proxy: str | None, seen: str | None) -> None:
    assert shown(Config(upstream_proxy=Secret(proxy) if proxy else None))["upstream_proxy"] == seen


@given(st.lists(st.just("canary"), max_size=3), st.none() | st.just("canary"))
def test_secrets_are_shown_as_being_there_and_no_more(keys: list[str], token: str | None) -> None:
    config = Config(api_keys=list(map(Secret, keys)), access_token=Secret(token) if token else None)
    assert "canary" not in repr(config) + str(config) + repr(shown(config))
    assert shown(config)["api_keys"] == ["***"] * len(keys)
    assert shown(config)["access_token"] == ("***" if token else None)
    assert [*shown(config)] == [doc.name for doc in documentation()]
