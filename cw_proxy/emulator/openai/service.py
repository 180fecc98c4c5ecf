"""`POST /v1/chat/completions` and `GET /v1/models`: from a request to a played answer.

In: HTTP requests. Out: chunks, a whole answer or an error, as the script or the agent rules say. Refuses to know OIDC:
whether a key is good is asked of a function.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
from aiohttp import web

from cw_proxy.emulator.answer import Identity, grant, plan_answer, tail_actions
from cw_proxy.emulator.arguments import fill
from cw_proxy.emulator.conversation import Conversation, Tool
from cw_proxy.emulator.decision import Decision, decide
from cw_proxy.emulator.loose import Object, as_list, as_object
from cw_proxy.emulator.model_fields import Wishes
from cw_proxy.emulator.openai.checks import check_body
from cw_proxy.emulator.openai.chunks import Translation, whole_answer
from cw_proxy.emulator.openai.conversation import read_conversation
from cw_proxy.emulator.openai.refusal import in_openais_words, invalid, unknown_model
from cw_proxy.emulator.player import Player
from cw_proxy.emulator.refusal import Refusal
from cw_proxy.emulator.script import Hang, Lose, Plan
from cw_proxy.emulator.service import check_bearer
from cw_proxy.emulator.settings import Settings
from cw_proxy.emulator.stats import Stats
from cw_proxy.emulator.streaming import StreamingService
from cw_proxy.emulator.toolbox import ToolCall

_QUIET = ("none", "minimal")


class OpenAIService:
    """`streaming` counts the calls and keeps the scripts, which both services share."""

    def __init__(
        self, settings: Settings, stats: Stats, streaming: StreamingService, accepts_key: Callable[[str], bool]
    ) -> None:
        self._settings = settings
        self._stats = stats
        self._streaming = streaming
        self._accepts_key = accepts_key

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self._chat),
            web.get("/v1/models", self._models),
            web.get("/v1/models/{name:.+}", self._model),
        ]

    def _check_key(self, request: web.Request) -> None:
        """Servers on one's own machine often want none."""
        if self._settings.strict_tokens or "Authorization" in request.headers:
            check_bearer(request, self._accepts_key)

    # --- chats ---

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._streaming.counted(
            request, lambda player: self._answer(request, player), lambda refusal: in_openais_words(refusal).response()
        )

    async def _answer(self, request: web.Request, player: Player) -> web.StreamResponse:
        self._check_key(request)
        body = await _read(request)
        self._stats.last_body = body
        if self._settings.check_requests:
            check_body(body, self._settings.openai_models)
        plan = self._plan(body)
        if plan.refusal is not None:
            raise plan.refusal
        envelope = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.get("model")}
        if not body.get("stream"):
            whole = whole_answer(plan, envelope, lambda action: isinstance(action, Lose | Hang))
            return await player.play(whole.actions, {**whole.headers, **_headers("application/json")})
        include_usage = bool(as_object(body.get("stream_options")).get("include_usage"))
        streamed = Translation(envelope, include_usage).streamed(plan)
        return await player.play(streamed.actions, {**streamed.headers, **_headers("text/event-stream")})

    def _plan(self, body: Object) -> Plan:
        conversation = read_conversation(body)
        settings = msgspec.structs.replace(self._settings, message_metadata=False, tail=False, token_usage=True)
        plan, decision = self._streaming.scripted(conversation), Decision()
        if plan is None:
            decision = wished(decide(conversation, self._streaming.faults), conversation, body)
            plan = plan_answer(decision, conversation, settings, Identity("", "", _call_ids(), ""))
        if plan.complete and plan.refusal is None:
            plan.actions += tail_actions(conversation, decision, settings)
        return plan

    # --- models ---

    async def _models(self, request: web.Request) -> web.Response:
        return self._listed(request, lambda: {"object": "list", "data": [*map(_model, self._settings.openai_models)]})

    async def _model(self, request: web.Request) -> web.Response:
        def found() -> Object:
            name = request.match_info["name"]
            if name not in self._settings.openai_models:
                raise unknown_model(name)
            return _model(name)

        return self._listed(request, found)

    def _listed(self, request: web.Request, make: Callable[[], Object]) -> web.Response:
        self._stats.runtime_requests += 1
        try:
            self._check_key(request)
            return web.Response(body=msgspec.json.encode(make()), headers=_headers("application/json"))
        except Refusal as refusal:
            return in_openais_words(refusal).response()


def wished(decision: Decision, conversation: Conversation, body: Object) -> Decision:
    """What the parameters change in an answer: OpenAI carries all of them out by itself."""
    if decision.fault is not None:
        return decision
    if body.get("tool_choice") == "required" and not decision.calls:
        forced = conversation.tools[0]
        decision = replace(decision, text="", calls=(ToolCall(forced.name, fill(forced, {})),))
    if body.get("parallel_tool_calls") is False:
        decision = replace(decision, calls=decision.calls[:1])
    if (wanted := as_object(body.get("response_format"))).get("type") in ("json_object", "json_schema"):
        decision = replace(decision, text=_as_json(decision, wanted))
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else as_list(stops):
        decision = replace(decision, text=decision.text.partition(stop)[0])
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    return grant(decision, Wishes(most, body.get("reasoning_effort") not in (None, *_QUIET)))


def _as_json(decision: Decision, wanted: Object) -> str:
    """The text where it is an object; else the smallest one that fits."""
    if decision.calls:
        return decision.text
    try:
        if isinstance(json.loads(decision.text), dict):
            return decision.text
    except ValueError:
        pass
    schema = as_object(as_object(wanted.get("json_schema")).get("schema"))
    return json.dumps(fill(Tool("", schema), {}), separators=(",", ":"))


async def _read(request: web.Request) -> Object:
    try:
        return msgspec.json.decode(await request.read(), type=Object)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise invalid(f"We could not parse the JSON body of your request: {fault}") from fault


def _call_ids() -> Iterator[str]:
    while True:
        yield f"call_{uuid.uuid4().hex[:24]}"


def _model(name: str) -> Object:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "emulator"}


def _headers(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type, "x-request-id": f"req_{uuid.uuid4().hex}"}
