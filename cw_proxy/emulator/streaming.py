"""GenerateAssistantResponse and SendMessage: from a request to a played answer.

In: HTTP requests of both wire forms. Out: an event stream or an error, as the script or the agent rules say. Refuses to
know OIDC: whether a token is good is asked of a function. (upstream.md §1)
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from weakref import WeakSet

from aiohttp import web

from cw_proxy.emulator import frames
from cw_proxy.emulator.answer import Identity, grant, plan_answer, tail_actions
from cw_proxy.emulator.checks import check_request
from cw_proxy.emulator.conversation import Conversation, read_conversation
from cw_proxy.emulator.decision import Decision, decide
from cw_proxy.emulator.directives import script_name
from cw_proxy.emulator.loose import as_object, as_text
from cw_proxy.emulator.model_fields import read_wishes
from cw_proxy.emulator.player import Player
from cw_proxy.emulator.refusal import Refusal
from cw_proxy.emulator.script import Plan, Write, compile_takes
from cw_proxy.emulator.service import (
    Form,
    check_account,
    check_bearer,
    content_type_of,
    read_body,
    service_headers,
)
from cw_proxy.emulator.settings import Settings
from cw_proxy.emulator.stats import Stats

EVENT_STREAM = "application/vnd.amazon.eventstream"
PREFIX = "AmazonCodeWhispererStreamingService."
OPERATIONS = ("GenerateAssistantResponse", "SendMessage")
REST_PATHS = {"/generateAssistantResponse": "GenerateAssistantResponse", "/SendMessageStreaming": "SendMessage"}
DEFAULT_MODEL = "claude-sonnet-4.5"


class StreamingService:
    """`scripts` holds the ready-made ones and those that a test registers; `faults` counts fault directives."""

    def __init__(
        self,
        settings: Settings,
        stats: Stats,
        scripts: Mapping[str, list[Any]],
        accepts_token: Callable[[str], bool],
    ) -> None:
        self._settings = settings
        self._stats = stats
        self._scripts = scripts
        self._accepts_token = accepts_token
        self.faults: dict[str, int] = {}
        self.played: dict[str, int] = {}  # how often, by script
        self.closing = False
        self._change = asyncio.Event()
        self._connections: WeakSet[asyncio.Transport] = WeakSet()

    async def handle(self, request: web.Request, form: Form) -> web.StreamResponse:
        def refused(refusal: Refusal) -> web.Response:
            response = refusal.response(content_type_of(form))
            response.headers.update(service_headers())
            return response

        return await self.counted(request, lambda player: self._answer(request, form, player), refused)

    async def counted(
        self,
        request: web.Request,
        answer: Callable[[Player], Awaitable[web.StreamResponse]],
        refused: Callable[[Refusal], web.Response],
    ) -> web.StreamResponse:
        """Counts the call, whatever becomes of it."""
        self._stats.requests += 1
        self._stats.in_flight += 1
        self._stats.saw_headers(request.headers)
        self._saw_connection(request.transport)
        self._changed()
        player = Player(request)
        try:
            response = await answer(player)
        except Refusal as refusal:
            self._stats.refused += 1
            self._stats.last_rejection = refusal.detail or refusal.message
            return refused(refusal)
        except (asyncio.CancelledError, ConnectionError):
            # Not the client's doing: an end that the script asked for, or the emulator's own.
            if not player.lost and not self.closing:
                self._stats.cancelled_by_client += 1
            # A lost connection is no fault of ours, which is what aiohttp would log it as.
            raise asyncio.CancelledError from None
        else:
            self._stats.completed += not player.lost
            return response
        finally:
            self._stats.in_flight -= 1
            self._changed()

    def _saw_connection(self, transport: asyncio.Transport | None) -> None:
        if transport is not None and transport not in self._connections:
            self._connections.add(transport)
            self._stats.connections += 1

    def _changed(self) -> None:
        """Each change has its own event, so that no waiter misses one."""
        change, self._change = self._change, asyncio.Event()
        change.set()

    async def change(self) -> None:
        """Until a call begins or ends."""
        await self._change.wait()

    async def _answer(self, request: web.Request, form: Form, player: Player) -> web.StreamResponse:
        # The bearer comes first: a service does not read the body of a stranger.
        check_bearer(request, self._accepts_token)
        body = await read_body(request)
        self._stats.last_body = body
        check_account(body, self._settings)
        if self._settings.check_requests:
            check_request(body, self._settings)
        conversation_id = _conversation_id(body)
        plan = self._plan(body, conversation_id)
        if plan.refusal is not None:
            raise plan.refusal
        if form == "aws-json" and self._settings.initial_response:
            first = frames.initial_response_frame({"conversationId": conversation_id})
            plan.actions.insert(0, Write(first))
        return await player.play(plan.actions, _headers(form, conversation_id, plan))

    def _plan(self, body: dict[str, Any], conversation_id: str) -> Plan:
        conversation = read_conversation(body)
        if (scripted := self.scripted(conversation)) is not None:
            return self._with_tail(scripted, conversation, Decision())
        decision = grant(decide(conversation, self.faults), read_wishes(body))
        identity = Identity(conversation_id, str(uuid.uuid4()), _tool_use_ids(), _model_id(body))
        plan = plan_answer(decision, conversation, self._settings, identity)
        return self._with_tail(plan, conversation, decision)

    def scripted(self, conversation: Conversation) -> Plan | None:
        """What the script says that is asked for, if one is."""
        name = script_name(conversation.turns) or self._settings.default_script
        if name is None:
            return None
        steps = self._scripts.get(name)
        if steps is None:
            known = ", ".join(sorted(self._scripts))
            raise Refusal("ResourceNotFoundException", f"There is no script {name!r}. Known: {known}.")
        takes = compile_takes(steps)
        played = self.played.get(name, 0)
        self.played[name] = played + 1
        return takes[min(played, len(takes) - 1)]

    def _with_tail(self, plan: Plan, conversation: Conversation, decision: Decision) -> Plan:
        if plan.complete and plan.refusal is None:
            plan.actions += tail_actions(conversation, decision, self._settings)
        return plan


def _headers(form: Form, conversation_id: str, plan: Plan) -> dict[str, str]:
    headers = {**service_headers(), "Content-Type": EVENT_STREAM}
    if form == "rest":
        headers["x-amzn-codewhisperer-conversation-id"] = conversation_id
    return {**headers, **plan.headers}


def _conversation_id(body: dict[str, Any]) -> str:
    return as_text(as_object(body.get("conversationState")).get("conversationId")) or str(uuid.uuid4())


def _model_id(body: dict[str, Any]) -> str:
    current = as_object(as_object(body.get("conversationState")).get("currentMessage"))
    named = as_text(as_object(current.get("userInputMessage")).get("modelId"))
    return named if named not in ("", "auto") else DEFAULT_MODEL


def _tool_use_ids() -> Iterator[str]:
    while True:
        yield f"tooluse_{uuid.uuid4().hex[:22]}"


def operation_of(target: str) -> str | None:
    """The operation that an `X-Amz-Target` names, if it is one of this service."""
    name = target.removeprefix(PREFIX)
    return name if target.startswith(PREFIX) and name in OPERATIONS else None
