"""`cw-proxy lint`: the number of the rule, the place, the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cw_proxy.cli.root import cli

CALL = {"id": "t1", "function": {"name": "ls", "arguments": "no"}}


def linted(body: Any, tmp_path: Path, *options: str) -> Result:
    file = tmp_path / "body.json"
    file.write_text(body if isinstance(body, str) else json.dumps(body))
    return CliRunner().invoke(cli, ["lint", str(file), *options])


def chat(*messages: Any, **members: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": list(messages), **members}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def payload(**current: Any) -> dict[str, Any]:
    message = {"content": "a", **current}
    return {"conversationState": {"chatTriggerType": "MANUAL", "currentMessage": {"userInputMessage": message}}}


@pytest.mark.parametrize("body", [chat(user("a")), chat(user("a"), tools=[{"function": {"name": "a.b"}}]), payload()])
def test_a_good_one(body: Any, tmp_path: Path) -> None:
    done = linted(body, tmp_path)
    assert (done.exit_code, done.output) == (0, "No rule is broken.\n")
    assert json.loads(linted(body, tmp_path, "--json").output) == []


def formatted(**said: Any) -> Any:
    return chat(user("a"), response_format=said)


BROKEN = [
    (formatted(type="xml"), 0, "response_format.type"),
    (
        formatted(type="json_schema", json_schema={"name": "x", "schema": {"type": "objekt"}}),
        0,
        "response_format.json_schema.schema",
    ),
    (chat(user([{"type": "video"}])), 0, "messages[0].content[0].type"),
    (
        chat(user([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}])),
        11,
        "messages[0].content[0].image_url.url",
    ),
    (payload(content=" "), 3, "conversationState.currentMessage.userInputMessage.content"),
    (payload(modelId="a b"), 12, "conversationState.currentMessage.userInputMessage.modelId"),
    (chat(user("a"), {"role": "assistant", "tool_calls": [CALL]}), 14, "messages[1].tool_calls[0].function.arguments"),
    (chat(user([{"type": "image_url", "image_url": "data:;base64,QQ=="}])), 11, "messages[0].content[0].image_url"),
    (
        chat(user("a"), tools=[{"function": {"name": "a", "parameters": {"type": "string"}}}]),
        9,
        "tools[0].function.parameters.type",
    ),
    (chat(user("x" * 700_000)), 10, ""),
    (chat(), 0, "messages"),
]


@pytest.mark.parametrize(("body", "rule", "path"), BROKEN)
def test_a_broken_one(body: Any, rule: int, path: str, tmp_path: Path) -> None:
    done = linted(body, tmp_path)
    assert done.exit_code == 1
    assert done.output.startswith(f"rule {rule or '-'}: {path or 'the whole body'}: ")
    asjson = linted(body, tmp_path, "--json")
    assert asjson.exit_code == 1
    [found] = json.loads(asjson.output)
    assert (found["rule"], found["path"]) == (rule, path)
    assert found["reason"] in done.output


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '"messages"'])
def test_what_is_neither_is_a_usage_error(body: str, tmp_path: Path) -> None:
    assert linted(body, tmp_path).exit_code == 2
    assert CliRunner().invoke(cli, ["lint", str(tmp_path / "none")]).exit_code == 2


def test_standard_input() -> None:
    assert CliRunner().invoke(cli, ["lint", "-"], input=json.dumps(chat(user("a")))).exit_code == 0


@pytest.mark.parametrize("body", [chat(user("x" * 700_000)), payload(content="x" * 700_000)])
def test_the_largest_body_is_the_one_of_the_settings(
    body: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CW_PROXY_MAX_PAYLOAD_BYTES", "800000")
    assert linted(body, tmp_path).exit_code == 0
    monkeypatch.setenv("CW_PROXY_MAX_PAYLOAD_BYTES", "1000")
    assert linted(body, tmp_path).output.startswith("rule 10: the whole body: ")
