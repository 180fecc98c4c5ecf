"""The fields of one message."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cw_proxy.emulator.checks_messages import check_assistant, check_user
from cw_proxy.emulator.refusal import Refusal

PNG, JPEG = b"\x89PNG\r\n", b"\xff\xd8\xff\xe0"
MODELS = ["m1"]


def encoded(raw: bytes) -> dict[str, str]:
    return {"bytes": base64.b64encode(raw).decode()}


def image(kind: str = "png", raw: bytes = PNG) -> dict[str, Any]:
    return {"format": kind, "source": encoded(raw)}


def document(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "format": "pdf", "source": encoded(b"%PDF"), **changes}


def test_a_full_message_passes() -> None:
    message = {
        "content": "x",
        "origin": "CLI",
        "userIntent": "SHOW_EXAMPLES",
        "modelId": "m1",
        "images": [image(), image("jpeg", JPEG), image("gif", b"GIF89a"), image("webp", b"RIFF1234WEBP")],
        "documents": [document(), document(name="b", format="md")],
        "cachePoint": {"type": "default"},
        "userInputMessageContext": {
            "envState": {"operatingSystem": "linux", "currentWorkingDirectory": "/x", "timezoneOffset": -60},
            "editorState": {"relevantDocuments": []},
        },
    }
    check_user(message, "p", MODELS)


def context(**values: Any) -> dict[str, Any]:
    return {"content": "x", "userInputMessageContext": values}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({}, None),
        ({"content": None}, None),
        ({"content": 1}, None),
        ({"content": " \n"}, None),
        ({"content": "x" * 10_000_001}, None),
        ({"content": "x", "origin": "cli"}, None),
        ({"content": "x", "userIntent": "OTHER"}, None),
        ({"content": "x", "modelId": "m2"}, "INVALID_MODEL_ID"),
        ({"content": "x", "images": [image()] * 11}, "IMAGE_COUNT_EXCEEDED"),
        ({"content": "x", "images": [image("bmp")]}, "IMAGE_FORMAT_UNSUPPORTED"),
        ({"content": "x", "images": [image("gif")]}, "IMAGE_MIME_MISMATCH"),
        ({"content": "x", "images": [image(raw=PNG + bytes(10_000_000))]}, "IMAGE_SIZE_EXCEEDED"),
        ({"content": "x", "images": [image(raw=b"")]}, None),
        ({"content": "x", "images": [{"format": "png", "source": {"bytes": "no base64!"}}]}, None),
        ({"content": "x", "images": [{"format": "png"}]}, None),
        ({"content": "x", "documents": [document(), document()]}, "DOCUMENT_DUPLICATE_NAME"),
        ({"content": "x", "documents": [document(format="exe")]}, None),
        ({"content": "x", "cachePoint": {"type": "other"}}, None),
        (context(envState={"operatingSystem": "beos"}), None),
        (context(envState={"currentWorkingDirectory": "x" * 257}), None),
        (context(envState={"timezoneOffset": 2000}), None),
        (context(editorState={"workspaceFolders": ["x"] * 101}), None),
        (context(additionalContext=[{}] * 21), None),
    ],
)
def test_what_a_user_message_may_not_hold(message: dict[str, Any], reason: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        check_user(message, "p", MODELS)
    assert caught.value.reason == reason
    assert (caught.value.detail or "").startswith("p.")


@pytest.mark.parametrize("message", [{}, {"content": 1}, {"content": "x", "messageId": "x" * 129}])
def test_what_an_assistant_message_may_not_hold(message: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        check_assistant(message, "p")


def test_an_assistant_message_may_be_only_tool_uses() -> None:
    check_assistant({"content": "", "toolUses": [{"toolUseId": "t", "name": "n", "input": {}}]}, "p")
