"""The client languages, one file each; this list is what the transports serve."""

from __future__ import annotations

from collections.abc import Callable

from cw_proxy.interfaces import ClientProtocol
from cw_proxy.protocols.anthropic_messages import AnthropicMessages
from cw_proxy.protocols.openai_chat import OpenAIChat
from cw_proxy.protocols.openai_responses import OpenAIResponses
from cw_proxy.protocols.plain_text import PlainText
from cw_proxy.protocols.simple_completions import SimpleCompletions

# Each server makes its own: a protocol may remember answers.
PROTOCOLS: tuple[Callable[[], ClientProtocol], ...] = (
    OpenAIChat,
    OpenAIResponses,
    AnthropicMessages,
    SimpleCompletions,
    PlainText,
)
