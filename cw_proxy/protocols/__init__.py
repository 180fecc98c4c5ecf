"""The client languages, one file each; this list is what the transports serve."""

from __future__ import annotations

from cw_proxy.interfaces import DEFAULTS, ClientProtocol, Options
from cw_proxy.protocols.anthropic_messages import AnthropicMessages
from cw_proxy.protocols.openai_chat import OpenAIChat
from cw_proxy.protocols.openai_responses import OpenAIResponses
from cw_proxy.protocols.plain_text import PlainText
from cw_proxy.protocols.prompt_socket import PromptSocket
from cw_proxy.protocols.simple_api import SimpleApi
from cw_proxy.protocols.simple_completions import SimpleCompletions


def protocols(options: Options = DEFAULTS) -> list[ClientProtocol]:
    """Each server makes its own: a protocol may remember answers."""
    made: list[ClientProtocol] = [
        OpenAIChat(),
        OpenAIResponses(),
        AnthropicMessages(),
        SimpleCompletions(),
        PlainText(),
    ]
    if options.prompt_socket:
        made.append(PromptSocket(options))
    if options.simple_api:
        made.append(SimpleApi(options))
    return made
