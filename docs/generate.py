"""The parts of the reference that the code knows itself; cog puts them into docs/reference (make fix, make check).

In: the code. Out: Markdown. What only people know (why an endpoint is there, when an error comes) stands in
generate_texts.py; a command, setting, route, error or switch without its words there stops the generation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any

import click
import msgspec

from cw_proxy import config, errors, events
from cw_proxy.backends.codewhisperer import offer, turns, wishes
from cw_proxy.borrowed import BORROWED
from cw_proxy.cli import root
from cw_proxy.cli.serve import serve
from cw_proxy.demands import json_answer, tool_call
from cw_proxy.emulator import Settings, directives
from cw_proxy.emulator.control import Control
from cw_proxy.emulator.library import SCRIPTS
from cw_proxy.interfaces import Options
from cw_proxy.protocols import openai_chat
from cw_proxy.transports.http_in import Bounds, Endpoints, Timing
from cw_proxy.transports.http_in.endpoints import UNSUPPORTED
from docs import generate_texts as texts

WIDTH = 100  # characters of a help page, whatever terminal the generation runs in


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


# --- the command line -------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Context]]:
    """Every command with its full name, groups before their members."""
    settings = {**root.cli.context_settings, "max_content_width": WIDTH}
    yield from _below(click.Context(root.cli, info_name="cw-proxy", terminal_width=WIDTH, **settings))


def _below(context: click.Context) -> Iterator[tuple[str, click.Context]]:
    yield context.command_path, context
    if isinstance(context.command, click.Group):
        for name, command in context.command.commands.items():
            yield from _below(click.Context(command, info_name=name, parent=context))


def command_help() -> str:
    return "\n".join(f"## `{name}`\n\n```text\n{context.get_help()}\n```\n" for name, context in commands())


def exit_codes() -> str:
    codes: dict[int, dict[str, None]] = {number: {} for number in texts.EXIT_CODES}
    for error in error_classes():
        codes[root.exit_code(error("x"))][code(error.default_code)] = None
    codes[root.EXIT_FAILURE].clear()  # the rest
    rows = ((str(number), texts.EXIT_CODES[number], ", ".join(names)) for number, names in codes.items())
    return table(("code", "meaning", "errors"), rows)


# --- settings ---------------------------------------------------------------------------------------------


def settings() -> str:
    flags = {option.name: option.opts[0] for option in serve.params}
    rows = (
        (code(doc.name), code(doc.variable), code(flags[doc.name]) if doc.name in flags else "", _default(doc), doc.doc)
        for doc in config.documentation()
    )
    return table(("setting", "environment", "`serve` flag", "default", "what it does"), rows)


def borrowed_variables() -> str:
    rows = ((code(one.variable), code(one.setting), one.when) for one in BORROWED)
    return table(("variable", "setting", "when it counts"), rows)


def _default(doc: config.SettingDoc) -> str:
    return "not set" if doc.default is None else "empty" if doc.default in ([], {}) else code(json.dumps(doc.default))


# --- HTTP -------------------------------------------------------------------------------------------------


def routes() -> list[tuple[str, str]]:
    """Methods and path of everything that is served."""
    anything: Any = None
    bounds = Bounds(1, 1.0, 1, Timing(1.0, 1.0))
    everything = Options(prompt_socket=True, simple_api=True)
    metrics: Any = object()
    served = Endpoints(exchange=anything, guard=anything, bounds=bounds, options=everything, metrics=metrics).routes()
    return [(_methods(served, path), path) for path in served.paths()]


def _methods(served: Any, path: str) -> str:
    try:
        served.find("NONE", path)
    except errors.MethodNotAllowed as error:
        return error.allowed
    raise AssertionError(f"{path} takes any method")


def endpoints() -> str:
    rows = ((methods, code(path), texts.ENDPOINTS[path]) for methods, path in routes())
    return table(("method", "path", "what it answers"), rows)


def unsupported_endpoints() -> str:
    return ", ".join(map(code, UNSUPPORTED)) + ".\n"


def error_classes() -> list[type[errors.ProxyError]]:
    """The tree, in the order of its file, then those that live elsewhere."""
    found = _errors_of(errors)
    return [*found, *(error for error in _errors_of(events) if error not in found)]


def _errors_of(module: ModuleType) -> list[type[errors.ProxyError]]:
    classes = (thing for thing in vars(module).values() if isinstance(thing, type))
    return [found for found in classes if issubclass(found, errors.ProxyError)]


def error_table() -> str:
    by_status = sorted(error_classes(), key=lambda error: error.status)
    rows = (_error_row(error) for error in by_status if error.__name__ not in texts.NEVER_SENT)
    return table(("status", "type", "code", "class", "when", "`x-should-retry`"), rows)


def _error_row(error: type[errors.ProxyError]) -> tuple[str, ...]:
    said = {None: "", True: "true", False: "false"}[error.should_retry]
    when = texts.ERRORS[error.__name__]
    return str(error.status), code(error.type), code(error.default_code), code(error.__name__), when, said


# --- chat completions -------------------------------------------------------------------------------------


def parameters() -> list[tuple[str, str]]:
    """Every parameter that the protocol knows, and what happens to it: tried, not told."""
    return [(field.name, _treatment(field.name)) for field in msgspec.structs.fields(openai_chat.Body)]


def _treatment(name: str) -> str:
    for value in ("auto", 2, True, ["audio"], {"a": 1}):
        said = {"model": "x", "messages": [{"role": "user", "content": "x"}], name: value}
        try:
            (ask,) = openai_chat.OpenAIChat().session().receive(json.dumps(said).encode())
        except errors.UnsupportedParameter:
            return "refused"
        except errors.InvalidValue:
            continue
        return "ignored" if name in ask.request.options else "used"
    return "used"


def parameter_table(treatment: str) -> str:
    rows = ((code(name), texts.PARAMETERS.get(name, "")) for name, found in parameters() if found == treatment)
    return table(("parameter", "note"), rows)


def ignored_parameters() -> str:
    return ", ".join(code(name) for name, treatment in parameters() if treatment == "ignored") + ".\n"


def our_texts() -> dict[str, str]:
    said = {**vars(turns), **vars(offer), **vars(wishes)}
    texts_of_ours = {name: value for name, value in said.items() if isinstance(value, str) and name.isupper()}
    again = {"CALL_AGAIN": tool_call.CORRECTION, "JSON_AGAIN": json_answer.CORRECTION}
    return {name: value for name, value in texts_of_ours.items() if not name.startswith("_")} | again


def added_texts() -> str:
    """The texts of ours that the service may get beside the client's."""
    ours = our_texts()
    rows = ((f"“{ours[name]}”", code(name), when) for name, when in texts.ADDED_TEXTS.items())
    return table(("text", "name", "when it is sent"), rows)


# --- events -----------------------------------------------------------------------------------------------


def order_diagram() -> str:
    """A Mermaid state diagram; events that lead the same way share an arrow."""
    lines = ["stateDiagram-v2", "    [*] --> IDLE"]
    for state, following in events.ORDER.items():
        for target in dict.fromkeys(following.values()):
            names = ", ".join(event.__name__ for event, to in following.items() if to is target)
            lines.append(f"    {state.name} --> {target.name}: {names}")
        if not following:
            lines.append(f"    {state.name} --> [*]")
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def order_table() -> str:
    def row(state: events.State) -> tuple[str, str]:
        following = ", ".join(f"{code(event.__name__)} → {to.name}" for event, to in events.ORDER[state].items())
        return state.name, following or "nothing"

    return table(("in this state", "these may come, and lead to"), map(row, events.ORDER))


def event_table() -> str:
    known = dict.fromkeys(event for following in events.ORDER.values() for event in following)
    rows = (
        (
            code(event.__name__),
            ", ".join(code(field.name) for field in msgspec.structs.fields(event)),
            texts.EVENTS[event.__name__],
        )
        for event in known
    )
    return table(("event", "fields", "meaning"), rows)


# --- the emulator -----------------------------------------------------------------------------------------


def emulator_control() -> str:
    anything: Any = None
    served = Control(anything, anything, anything, anything, anything).routes()
    rows = ((route.method, code(route.path), texts.CONTROL[route.method, route.path]) for route in served)
    return table(("method", "path", "what it does"), rows)


def emulator_settings() -> str:
    defaults = msgspec.to_builtins(Settings())
    rows = ((code(name), code(json.dumps(value)), texts.SWITCHES[name]) for name, value in defaults.items())
    return table(("switch", "default", "what it does"), rows)


def emulator_sentences() -> str:
    """Each example is parsed as the emulator would: one that it does not know stops the generation."""
    for kind, (example, _) in texts.SENTENCES.items():
        if [directive.kind for step in directives.parse(example) for directive in step] != [kind]:
            raise AssertionError(f"{example!r} is not a {kind} sentence")
    return table(("sentence", "answer"), ((code(said), answer) for said, answer in texts.SENTENCES.values()))


def emulator_scripts() -> str:
    return ", ".join(map(code, SCRIPTS)) + ".\n"
