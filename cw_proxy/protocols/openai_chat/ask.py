"""A chat's body → what is asked: parameters, messages, turns of tools.

In: a Body. Out: a Request. Refuses to know how it will be asked of the service and how the answer is written.
"""

from __future__ import annotations

from typing import Any

from cw_proxy.errors import InvalidValue, UnsupportedParameter
from cw_proxy.filters.stop import read_sequences
from cw_proxy.model import JsonAnswer, Message, Part, Request, Role, TextPart, ToolResultPart
from cw_proxy.protocols.openai_chat import shapes
from cw_proxy.protocols.openai_chat.content import read_content
from cw_proxy.protocols.openai_chat.tools import read_calls, read_choice, read_tools

# Far beyond any chat; what a body of the legal size could hold would keep the server busy for seconds.
MAX_MESSAGES = 10_000
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
}


def read_request(said: shapes.Body) -> Request:
    """Raises InvalidValue or UnsupportedParameter, with the JSON path."""
    _refuse_unsupported(said)
    if not said.messages:
        raise InvalidValue("There must be at least one message.", param="messages")
    if len(said.messages) > MAX_MESSAGES:
        raise InvalidValue(f"There are more than {MAX_MESSAGES} messages.", param="messages")
    tool_choice, tools = read_choice(said.tool_choice, read_tools(said.tools or []))
    return Request(
        model=said.model,
        messages=tuple(_message(message, f"messages[{at}]") for at, message in enumerate(said.messages)),
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=said.parallel_tool_calls is not False,
        json_answer=_json_answer(said.response_format),
        stop=read_sequences(said.stop),
        max_tokens=_max_tokens(said),
        reasoning_effort=said.reasoning_effort,
        choices=_choices(said.n),
        thread=said.prompt_cache_key,
        options=_options(said),
    )


def _options(said: shapes.Body) -> dict[str, Any]:
    options = {name: value for name in shapes.OPTIONS if (value := getattr(said, name)) is not None}
    return options | {place: True for place, there in _unused(said).items() if there}


def _unused(said: shapes.Body) -> dict[str, bool]:
    """Members inside of others that change nothing."""
    parts = [part for message in said.messages if isinstance(message.content, list) for part in message.content]
    tools = [tool.function for tool in said.tools or [] if tool.function]
    return {
        # A tool's result needs no name: it has its call's id.
        "messages[].name": any(message.name and message.role != "tool" for message in said.messages),
        "messages[].audio": any(message.audio for message in said.messages),
        "image_url.detail": any(isinstance(part.image_url, shapes.Url) and part.image_url.detail for part in parts),
        "tools[].function.strict": any(tool.strict for tool in tools),
        "stream_options.include_obfuscation": bool(said.stream_options and said.stream_options.include_obfuscation),
        "max_tokens": said.max_tokens is not None and said.max_completion_tokens is not None,
    }


def _max_tokens(said: shapes.Body) -> int | None:
    """The newer name outranks the older one."""
    for name, most in (("max_completion_tokens", said.max_completion_tokens), ("max_tokens", said.max_tokens)):
        if most is not None:
            if most < 1:
                raise InvalidValue("An answer has at least one token.", param=name)
            return most
    return None


def _choices(said: int | None) -> int:
    if said is not None and said < 1:
        raise InvalidValue("There is at least one answer.", param="n")
    return said or 1


def _json_answer(said: shapes.ResponseFormat | None) -> JsonAnswer | None:
    if said is None or said.type == "text":
        return None
    if said.type == "json_object":
        return JsonAnswer()
    if said.type != "json_schema":
        known = "'text', 'json_object' and 'json_schema'"
        raise InvalidValue(f"{said.type[:40]!r} is no format: formats are {known}.", param="response_format.type")
    if said.json_schema is None:
        raise InvalidValue("The format has no schema.", param="response_format.json_schema")
    wanted, param = said.json_schema, "response_format.json_schema.schema"
    return JsonAnswer(wanted.schema, wanted.name, wanted.description or "", bool(wanted.strict), param)


def _refuse_unsupported(said: shapes.Body) -> None:
    refused = {
        "logprobs": bool(said.logprobs),
        "top_logprobs": bool(said.top_logprobs),
        "modalities": said.modalities not in (None, [], ["text"]),
        "audio": said.audio is not None,
    }
    for param, asked in refused.items():
        if asked:
            raise UnsupportedParameter(f"This value of {param!r} is not supported here.", param=param)
    for param, present in {"functions": said.functions, "function_call": said.function_call}.items():
        if present:
            raise UnsupportedParameter(f"{param!r} is not supported here: use 'tools' and 'tool_choice'.", param=param)


def _message(said: shapes.Message, path: str) -> Message:
    role = _ROLES.get(said.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise InvalidValue(f"{said.role[:40]!r} is not supported here; roles are {known}.", param=f"{path}.role")
    if said.function_call:
        raise UnsupportedParameter(
            "'function_call' is not supported here: use 'tool_calls'.", param=f"{path}.function_call"
        )
    if said.tool_calls and said.role != "assistant":
        raise InvalidValue("Only the assistant calls tools.", param=f"{path}.tool_calls")
    if said.role == "tool":
        return Message("user", _result(said, path))
    return Message(role, (*_content(said, path), *read_calls(said.tool_calls or [], path)))


def _content(said: shapes.Message, path: str) -> tuple[Part, ...]:
    # Assistant turns come with null; anyone else has to say something.
    if said.content is None and said.role != "assistant":
        raise InvalidValue("The message has no content.", param=f"{path}.content")
    refusal = (TextPart(said.refusal),) if said.refusal and said.role == "assistant" else ()
    return (*read_content(said.content, f"{path}.content", files=said.role == "user"), *refusal)


def _result(said: shapes.Message, path: str) -> tuple[Part, ...]:
    """A tool's result, and what it holds beside text, which the service takes in the user's turn only."""
    if said.tool_call_id is None:
        raise InvalidValue("A tool message names its call.", param=f"{path}.tool_call_id")
    parts = read_content(said.content, f"{path}.content", files=True)
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    is_error = bool(said.is_error) or _has_error(said)
    # Rule 17: texts are joined, never glued.
    result = ToolResultPart(said.tool_call_id, "\n\n".join(texts), is_error)
    return (result, *(part for part in parts if not isinstance(part, TextPart)))


def _has_error(said: shapes.Message) -> bool:
    """Rule 13: a part may say that the tool failed."""
    return isinstance(said.content, list) and any(part.type == "error" for part in said.content)
