"""One request, from ask to last event: model, conversation, token, the call, retries, filters, the order of events.

In: a Request and its owner. Out: batches of events, one for each network read. Refuses to know sockets and client
protocols: it awaits only a Sender, a TokenSource and an ImageSource.

A failure before the first event is raised, so that it can carry a real status; after it, it comes as Fail. Inside,
a call is tried again only before its first event: at most twice more when the service or the way to it failed, once
for an empty answer, once with a fresh token, never for quotas and rate limits. Not at all, while the last answer
stands for every call of the account (holds.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

import msgspec

from cw_proxy import catalog as catalogs
from cw_proxy import errors
from cw_proxy.calls import Calls, small, without
from cw_proxy.conversations import Conversations, thread_of
from cw_proxy.demands import Demand, demand_of
from cw_proxy.events import Begin, End, Event, Fail, OrderCheck, Usage
from cw_proxy.filters import Filter, filters_for
from cw_proxy.filters.references import OnLicensedCode, ReferenceFilter
from cw_proxy.holds import Holds
from cw_proxy.images import with_images
from cw_proxy.interfaces import (
    Backend,
    Catalog,
    Credential,
    Decoder,
    ImageSource,
    ModelInfo,
    Question,
    Sender,
    TokenSource,
)
from cw_proxy.model import Request, weight
from cw_proxy.model_list import ModelList
from cw_proxy.secret import digest
from cw_proxy.tails import Tails
from cw_proxy.usage import Calibration, prompt_tokens
from cw_proxy.wire.call import HttpCall, HttpReply

log = logging.getLogger(__name__)

Value = TypeVar("Value")

RETRIES = 2
_HEAVY = 64 * 1024  # characters of a request
_FIRST_DELAY = 0.2  # seconds; doubled each time, then jittered over its whole width
_NEARLY_FULL = 0.9  # of a model's window
_MAX_CATALOG_PAGES = 50
_MAX_MODELS = 4 * 1024 * 1024  # bytes of a page of models


class Asker(msgspec.Struct, frozen=True):
    """Who asks: the digest of the key, and the headers (lower-case names) that may name the thread."""

    owner: bytes
    headers: Mapping[str, str]


class Plan(msgspec.Struct, frozen=True):
    """A request, and who will do what about it. No model means the upstream's default; `carried` names what the
    upstream, `backend`, carries out by itself; `demand` makes the check of an answer, where there is one."""

    request: Request
    model: ModelInfo | None
    carried: frozenset[str]
    question: Question
    demand: Callable[[], Demand] | None
    backend: str

    @property
    def ignored(self) -> tuple[str, ...]:
        """The parameters that were accepted and change nothing."""
        names = [*self.request.options, *(["reasoning_effort"] if self.request.reasoning_effort else [])]
        return tuple(name for name in names if name not in self.carried)

    @property
    def model_id(self) -> str | None:
        return self.model.id if self.model else None


class Exchange:
    """Joins what a request needs. One instance serves the whole process."""

    def __init__(
        self,
        *,
        backend: Backend,
        send: Sender,
        tokens: TokenSource,
        conversations: Conversations,
        aliases: Mapping[str, str],
        on_licensed_code: OnLicensedCode = "flag",
        max_choices: int = 8,
        fetch_image: ImageSource | None = None,
        now: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._backend = backend
        self._tokens = tokens
        self._calls = Calls(backend, send, tokens)
        self._conversations = conversations
        self._aliases = aliases
        self._on_licensed_code: OnLicensedCode = on_licensed_code
        self._max_choices = max_choices
        self._fetch_image = fetch_image
        self._now = now
        self._new_id = new_id
        self._sleep = sleep
        self._tails = Tails()
        self._holds = Holds()
        self._calibration = Calibration()
        self._models = ModelList(self._fetch_catalog, now=now)

    @property
    def aliases(self) -> Mapping[str, str]:
        return self._aliases

    @property
    def default_name(self) -> str | None:
        """What clients call the upstream's default model, if it has one."""
        return catalogs.default_name(open_names=self._backend.open_names, model=self._backend.default_model)

    async def plan(self, request: Request) -> Plan:
        """Raises ModelNotFound, what stands in the way of the list of models, what is wrong with the request, and what
        every call would be answered with (holds.py)."""
        if request.choices > self._max_choices:
            raise errors.InvalidValue(f"At most {self._max_choices} answers are given to one question.", param="n")
        async with self._held():
            model = await self._model(request.model)
            carried = self._backend.carries(request, model)
            if "image_url" not in carried:
                request = await with_images(request, self._fetch_image)
            demand = await self._beside(request, demand_of, request, carried)
            question = await self._beside(request, self._backend.question, request, model)
        return Plan(request, model, carried, question, demand, self._backend.name)

    async def again(self, plan: Plan, request: Request) -> Plan:
        """The plan for another question in its place. Raises ContextLengthExceeded."""
        question = await self._beside(request, self._backend.question, request, plan.model)
        return msgspec.structs.replace(plan, request=request, question=question)

    async def _beside(self, request: Request, work: Callable[..., Value], *given: Any) -> Value:
        """Large requests and schemas take their time; others are being answered meanwhile."""
        if request.json_answer is None and weight(request) < _HEAVY:
            return work(*given)
        return await asyncio.to_thread(work, *given)

    async def run(self, plan: Plan, asker: Asker, choice: int = 0) -> AsyncGenerator[list[Event], None]:
        """One answer's batches of events, in legal order. Raises ProxyError only before the first.

        `choice` is which of several answers to the same question this one is.
        """
        references = ReferenceFilter(self._on_licensed_code)
        filters = self._filters(plan, references)
        order = OrderCheck()
        token = await self._token()
        async with AsyncExitStack() as call:
            with self._noticed(token):
                answer, events = await self._asked(plan, asker, choice, call)
            self._holds.succeeded(token)
            try:
                while events:
                    for one in filters:
                        events = one.feed(events)
                    order.feed(events)
                    if events:
                        yield events
                    if order.ended:
                        return
                    events = await answer.next()
            finally:
                if references.licences:
                    # The names are the service's text: quoted.
                    log.info("an answer repeats licensed code: %r", list(references.licences))
                if answer.failure is not None:
                    self._holds.failed(token, answer.failure, now=self._now())

    def _filters(self, plan: Plan, references: ReferenceFilter) -> list[Filter]:
        scale = self._calibration.scale(plan.model_id or "")
        return [references, *filters_for(plan.request, plan.carried, scale)]

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        """Nothing is asked while the last answer stands for all calls with this token."""
        token = await self._token()
        self._holds.check(token, now=self._now())
        with self._noticed(token):
            yield

    async def _token(self) -> bytes:
        return digest((await self._tokens.credential()).access_token.reveal())

    @contextmanager
    def _noticed(self, token: bytes) -> Iterator[None]:
        """A failure may stand for all calls with this token."""
        try:
            yield
        except errors.ProxyError as error:
            self._holds.failed(token, error, now=self._now())
            raise

    async def _asked(self, plan: Plan, asker: Asker, choice: int, call: AsyncExitStack) -> tuple[_Answer, list[Event]]:
        request = plan.request
        thread = thread_of(request, asker.headers)
        # The chat goes on from at most one of several answers.
        known = self._conversations.id_for(asker.owner, thread, now=self._now(), new_id=self._new_id)
        conversation_id = self._new_id() if choice else known

        def build(credential: Credential) -> HttpCall:
            return plan.question.call(conversation_id, credential)

        try:
            answer, batch = await self._begun(plan.question, build, call)
        except errors.UpstreamRejected as error:
            raise self._explained(plan, error) from None
        answer.closing = lambda usage: self._known(request, plan.model_id, usage)
        if isinstance(batch[0], Begin) and batch[0].conversation_id and not choice:
            self._conversations.adopt(asker.owner, thread, batch[0].conversation_id, now=self._now())
        return answer, batch

    def _explained(self, plan: Plan, error: errors.UpstreamRejected) -> errors.UpstreamRejected:
        """Rule 16: a chat that is too long may be refused without a reason."""
        window = catalogs.window(plan.model_id, self._models.known) if self._models.known else None
        if error.code != errors.UpstreamRejected.default_code or window is None:
            return error
        tokens = round(prompt_tokens(plan.request) * (self._calibration.scale(plan.model_id or "") or 1.0))
        if tokens <= _NEARLY_FULL * window:
            return error
        words = f"By our estimate the chat takes {tokens} of the model's {window} tokens."
        return errors.ContextLengthExceeded(f"{error.message} {words}")

    def _known(self, request: Request, model: str | None, usage: Usage) -> list[Event]:
        """What an answer's numbers are worth, learned from them and from the list of models, if it is at hand."""
        self._calibration.learn(model or "", request, usage)
        window = catalogs.window(model, self._models.known) if self._models.known else None
        known = Usage(window=window, scale=self._calibration.scale(model or ""))
        return [] if known == Usage() else [known]

    async def catalog(self) -> Catalog:
        """The service's models. Raises LoginRequired also while a list is at hand: it is the account's."""
        await self._tokens.credential()
        return await self._models.get()

    def knows(self, model: str) -> bool:
        """Whether this is a model of the upstream's list, as far as that is at hand, or of our settings."""
        ours = (self._backend.default_model, *self._aliases.values())
        listed = self._models.known.models if self._models.known else ()
        return model in ours or any(one.id == model for one in listed)

    async def lists(self, name: str) -> bool:
        """Whether the upstream, if it takes any name, has this one on its list, as far as that can be told."""
        if not self._backend.open_names:
            return False
        try:
            return any(model.id == name for model in (await self.catalog()).models)
        except errors.ProxyError:
            return False

    async def check(self, name: str) -> None:
        """Raises ModelNotFound for a name that is none here, as far as there is a list."""
        listed = await self.catalog()
        if self._backend.open_names:
            catalogs.require(catalogs.named(name, self._aliases, self._backend.default_model), listed)
        else:
            catalogs.resolve(name, self._aliases, listed)

    async def _model(self, name: str) -> ModelInfo | None:
        if self._backend.open_names:
            return catalogs.named(name, self._aliases, self._backend.default_model)
        if not catalogs.needs_catalog(name, self._aliases):
            return None
        return catalogs.resolve(name, self._aliases, await self.catalog())

    async def _fetch_catalog(self) -> Catalog:
        models: list[ModelInfo] = []
        default: str | None = None
        page: str | None = None
        for _ in range(_MAX_CATALOG_PAGES):
            try:
                catalog, page = self._backend.parse_models(await self._fetch_page(page))
            except errors.UpstreamProtocol:
                if not self._backend.open_names:
                    raise
                # Not every server of this kind has a list.
                return Catalog((), self._backend.default_model)
            models += catalog.models
            default = catalog.default or default
            if page is None:
                break
        return Catalog(tuple(models), default)

    async def _fetch_page(self, page: str | None) -> bytes:
        async with self._calls.opened(lambda credential: self._backend.list_models(credential, page)) as (reply, _):
            return await small(reply, _MAX_MODELS)

    # --- one call, and its repeats ---

    async def _begun(
        self, question: Question, build: Callable[[Credential], HttpCall], call: AsyncExitStack
    ) -> tuple[_Answer, list[Event]]:
        """The first attempt that brings something, and what it brought; `call` keeps it open."""
        attempt = 0
        while True:
            try:
                return await self._attempt(question, build, call)
            except errors.EmptyUpstreamResponse:
                if attempt >= 1:
                    raise
            except errors.UpstreamUnavailable:
                if attempt >= RETRIES:
                    raise
            await call.aclose()
            await self._sleep(random.uniform(0, _FIRST_DELAY * 2**attempt))  # noqa: S311  jitter, not a secret
            attempt += 1

    async def _attempt(
        self, question: Question, build: Callable[[Credential], HttpCall], call: AsyncExitStack
    ) -> tuple[_Answer, list[Event]]:
        """One attempt. A Fail is raised while nothing but Begin came before it, so Begin waits for what follows."""
        reply, credential = await call.enter_async_context(self._calls.opened(build))
        answer = _Answer(reply, question.decoder(reply.headers), self._tails, credential)
        waiting: list[Event] = []
        while events := await answer.next():
            waiting += events
            following = next((event for event in waiting if not isinstance(event, Begin)), None)
            if isinstance(following, Fail):
                raise following.error
            if following is not None:
                break
        return answer, waiting


class _Answer:
    """An open reply, decoded. A plain object, not a generator around a generator: each layer costs at every read."""

    __slots__ = ("_chunks", "_credential", "_decoder", "_ended", "_tails", "_usage", "closing", "failure")

    def __init__(self, reply: HttpReply, decoder: Decoder, tails: Tails, credential: Credential) -> None:
        self._chunks = aiter(reply.chunks)
        self._decoder = decoder
        self._tails = tails
        self._credential = credential
        self._ended = False
        self._usage = Usage()
        self.closing: Callable[[Usage], list[Event]] = lambda usage: []  # what to say before End
        self.failure: errors.ProxyError | None = None  # what it broke off with

    async def next(self) -> list[Event]:
        """The events of one network read, none after the last; what breaks the connection ends them as Fail."""
        while not self._ended:
            try:
                events = self._decoder.feed(await anext(self._chunks))
            except StopAsyncIteration:
                self._ended = True
                return self._finished()
            except errors.ProxyError as error:
                self._ended = True
                return [Fail(error)]
            if events:
                if isinstance(last := events[-1], Fail):
                    without(last.error, self._credential.access_token)
                    self._ended, self.failure = True, last.error
                if self._decoder.tail:
                    self._measure(events)
                return events
        return []

    def _measure(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Usage):
                self._usage = self._usage.updated(event)

    def _finished(self) -> list[Event]:
        events = self._decoder.finish()
        if events and isinstance(events[-1], End):
            # One login at a time, so that no profile is one account as well. Not the token: it changes.
            account = self._credential.profile_arn or ""
            cut_off = self._tails.ended(account, tail=self._decoder.tail)
            events[-1:] = [Fail(cut_off)] if cut_off else [*self.closing(self._usage), events[-1]]
        return events
