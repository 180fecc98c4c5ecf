"""The client languages, one file each; this list is what the transports serve."""

from __future__ import annotations

from cw_proxy.interfaces import ClientProtocol
from cw_proxy.protocols.openai_chat import OpenAIChat
from cw_proxy.protocols.simple_completions import SimpleCompletions

PROTOCOLS: tuple[ClientProtocol, ...] = (OpenAIChat(), SimpleCompletions())
