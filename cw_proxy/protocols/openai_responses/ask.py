"""A Responses body → what is asked: parameters, the chat, its tools.

In: a Body, and the items of the chat with their paths. Out: a Request and its tools. Refuses to know where earlier
items come from and how the answer is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from cw_proxy.errors import InvalidValue, UnsupportedParameter
from cw_proxy.filters.stop import read_sequences
from cw_proxy.model import JsonAnswer, Message, Request, TextPart
from cw_proxy.protocols.openai_responses import shapes
from cw_proxy.protocols.openai_responses.items import Chat, read_items
from cw_proxy.protocols.openai_responses.tools import Toolbox, read_choice, read_tools

# Reasoning comes as OpenAI's encrypted content only to those who ask for it.
ENCRYPTED = "reasoning.encrypted_content"


class Asked(msgspec.Struct, frozen=True):
    request: Request
    box: Toolbox


def read_request(said: shapes.Body, items: Iterable[tuple[bytes, str]]) -> Asked:
    """Raises InvalidValue or UnsupportedParameter, with the JSON path."""
    refuse_unsupported(said)
    box = read_tools(said.tools or [])
    choice = read_choice(said.tool_choice, box)
    chat = read_items(items)
    request = Request(
        model=said.model,
        messages=_messages(said, chat),
        tools=choice.tools,
        tool_choice=choice.mode,
        parallel_tool_calls=said.parallel_tool_calls is not False,
        json_answer=_json_answer(said.text),
        stop=read_sequences(said.stop),
        max_tokens=_max_tokens(said),
        reasoning_effort=said.reasoning.effort if said.reasoning else None,
        thread=said.prompt_cache_key,
        options=_options(said, box.left_out, chat.left_out),
    )
    return Asked(request, box)


def _messages(said: shapes.Body, chat: Chat) -> tuple[Message, ...]:
    system = (Message("system", (TextPart(said.instructions),)),) if said.instructions else ()
    return (*system, *chat.messages)


def _max_tokens(said: shapes.Body) -> int | None:
    if said.max_output_tokens is not None and said.max_output_tokens < 1:
        raise InvalidValue("An answer has at least one token.", param="max_output_tokens")
    return said.max_output_tokens


def _json_answer(said: shapes.Text | None) -> JsonAnswer | None:
    wanted = said.format if said else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return JsonAnswer()
    if wanted.type != "json_schema":
        known = "'text', 'json_object' and 'json_schema'"
        raise InvalidValue(f"{wanted.type[:40]!r} is no format: formats are {known}.", param="text.format.type")
    if wanted.schema is None:
        raise InvalidValue("The format has no schema.", param="text.format.schema")
    param = "text.format.schema"
    return JsonAnswer(wanted.schema, wanted.name, wanted.description or "", bool(wanted.strict), param)


def _options(said: shapes.Body, tools: Sequence[str], items: Sequence[str]) -> dict[str, Any]:
    options = {name: value for name in shapes.OPTIONS if (value := getattr(said, name)) is not None}
    if said.truncation not in (None, "disabled"):
        options["truncation"] = said.truncation
    if said.text is not None and said.text.verbosity is not None:
        options["text.verbosity"] = said.text.verbosity
    if any(wanted != ENCRYPTED for wanted in said.include or []):
        options["include"] = said.include
    options |= {f"tools[{kind}]": True for kind in tools}
    return options | dict.fromkeys(items, True)


def refuse_unsupported(said: shapes.Body) -> None:
    refused = {
        "top_logprobs": "No probabilities of tokens are known here.",
        "conversation": "Conversations are not kept here: use 'previous_response_id', or send the whole input.",
        "prompt": "Prompt templates are not kept here: send 'instructions' and 'input'.",
    }
    for param, why in refused.items():
        if getattr(said, param):
            raise UnsupportedParameter(why, param=param)
