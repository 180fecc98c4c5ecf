"""The shapes others plug into, and that what is there has them."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import pytest

from cw_proxy.auth.tokens import StaticTokenSource, TokenManager
from cw_proxy.backends.codewhisperer import CodeWhisperer
from cw_proxy.backends.codewhisperer.reply import ReplyDecoder
from cw_proxy.backends.openai_upstream import OpenAIUpstream
from cw_proxy.backends.openai_upstream.reply import ReplyDecoder as ChunkDecoder
from cw_proxy.interfaces import (
    Ask,
    Backend,
    ClientProtocol,
    Credential,
    Decoder,
    Encoder,
    Session,
    SocketProtocol,
    SocketSession,
    TokenSource,
)
from cw_proxy.protocols.openai_chat import ChatAsk, ChatSession, ChunkEncoder, OpenAIChat
from cw_proxy.protocols.openai_responses import ResponsesSocket
from cw_proxy.protocols.prompt_socket import DeltaEncoder, PromptAsk, PromptSession, PromptSocket
from cw_proxy.protocols.simple_api import ContentEncoder, SimpleApi, SimpleAsk
from cw_proxy.secret import Secret

PLUGS = [
    (Backend, CodeWhisperer),
    (Backend, OpenAIUpstream),
    (Decoder, ReplyDecoder),
    (Decoder, ChunkDecoder),
    (ClientProtocol, OpenAIChat),
    (Session, ChatSession),
    (Ask, ChatAsk),
    (Encoder, ChunkEncoder),
    (ClientProtocol, PromptSocket),
    (SocketProtocol, PromptSocket),
    (SocketSession, PromptSession),
    (SocketSession, ResponsesSocket),
    (Ask, PromptAsk),
    (Encoder, DeltaEncoder),
    (ClientProtocol, SimpleApi),
    (Ask, SimpleAsk),
    (Encoder, ContentEncoder),
    (TokenSource, StaticTokenSource),
    (TokenSource, TokenManager),
]


def members(shape: type[Any]) -> list[str]:
    return [name for name in vars(shape) if not name.startswith("_")]


@pytest.mark.parametrize(("shape", "plug"), PLUGS)
def test_a_plug_has_its_shape(shape: type[Any], plug: type[Any]) -> None:
    assert issubclass(shape, Protocol)
    for name in members(shape):
        declared, made = getattr(shape, name), inspect.getattr_static(plug, name)
        if inspect.isfunction(declared):
            assert [*inspect.signature(made).parameters] == [*inspect.signature(declared).parameters]
            assert inspect.iscoroutinefunction(made) == inspect.iscoroutinefunction(declared)


def test_a_credential_does_not_show_its_token() -> None:
    assert "canary" not in repr(Credential(Secret("canary")))
