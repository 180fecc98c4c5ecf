"""One request, from ask to last event: model, conversation, token, the call, retries, the order of events.

In: a Request and its owner. Out: batches of events, one for each network read. Refuses to know sockets and client
protocols: it awaits only a Sender and a TokenSource.

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
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from cw_proxy import catalog as catalogs
from cw_proxy import errors
from cw_proxy.conversations import Conversations, thread_of
from cw_proxy.events import Begin, End, Event, Fail, OrderCheck, Usage
from cw_proxy.holds import Holds
from cw_proxy.interfaces import Backend, Catalog, Credential, Decoder, ModelInfo, Sender, TokenSource
from cw_proxy.model import Request
from cw_proxy.model_list import ModelList
from cw_proxy.references import OnLicensedCode, ReferenceFilter
from cw_proxy.secret import digest
from cw_proxy.stop import StopFilter
from cw_proxy.tails import Tails
from cw_proxy.usage import Calibration
from cw_proxy.wire.call import HttpCall, HttpReply

log = logging.getLogger(__name__)

RETRIES = 2
_FIRST_DELAY = 0.2  # seconds; doubled each time, then jittered over its whole width
_MAX_CATALOG_PAGES = 50
_MAX_ERROR_BODY = 64 * 1024
_MAX_MODELS = 4 * 1024 * 1024  # bytes of a page of models


class Asker(msgspec.Struct, frozen=True):
    """Who asks: the digest of the key, and the headers (lower-case names) that may name the thread."""

    owner: bytes
    headers: Mapping[str, str]


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
        now: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._backend = backend
        self._send = send
        self._tokens = tokens
        self._conversations = conversations
        self._aliases = aliases
        self._on_licensed_code: OnLicensedCode = on_licensed_code
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

    async def run(self, request: Request, asker: Asker) -> AsyncGenerator[list[Event], None]:
        """Batches of events in legal order. Raises ProxyError only before the first."""
        token = digest((await self._tokens.credential()).access_token.reveal())
        self._holds.check(token, now=self._now())
        references = ReferenceFilter(self._on_licensed_code)
        stop = StopFilter(request.stop) if request.stop else None
        order = OrderCheck()
        async with AsyncExitStack() as call:
            answer, batch = await self._asked(request, asker, token, call)
            try:
                while batch:
                    events = references.feed(batch)
                    if stop is not None:
                        events = stop.feed(events)
                    order.feed(events)
                    if events:
                        yield events
                    if stop is not None and stop.hit:
                        return
                    batch = await answer.next()
            finally:
                if references.licences:
                    # The names are the service's text: quoted.
                    log.info("an answer repeats licensed code: %r", list(references.licences))
                if answer.failure is not None:
                    self._holds.failed(token, answer.failure, now=self._now())

    async def _asked(
        self, request: Request, asker: Asker, token: bytes, call: AsyncExitStack
    ) -> tuple[_Answer, list[Event]]:
        """The answer, begun. What the outcome says about all calls with this token is kept."""
        try:
            answer, batch = await self._in_conversation(request, asker, call)
        except errors.ProxyError as error:
            self._holds.failed(token, error, now=self._now())
            raise
        self._holds.succeeded(token)
        return answer, batch

    async def _in_conversation(
        self, request: Request, asker: Asker, call: AsyncExitStack
    ) -> tuple[_Answer, list[Event]]:
        model = await self._model(request.model)
        thread = thread_of(request, asker.headers)
        conversation_id = self._conversations.id_for(asker.owner, thread, now=self._now(), new_id=self._new_id)

        def build(credential: Credential) -> HttpCall:
            return self._backend.build(request, model=model, conversation_id=conversation_id, credential=credential)

        answer, batch = await self._begun(request, build, call)
        answer.closing = lambda usage: self._known(request, model, usage)
        if isinstance(batch[0], Begin) and batch[0].conversation_id:
            self._conversations.adopt(asker.owner, thread, batch[0].conversation_id, now=self._now())
        return answer, batch

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

    async def _model(self, name: str) -> str | None:
        if not catalogs.needs_catalog(name, self._aliases):
            return None
        return catalogs.resolve(name, self._aliases, await self.catalog())

    async def _fetch_catalog(self) -> Catalog:
        models: list[ModelInfo] = []
        default: str | None = None
        page: str | None = None
        for _ in range(_MAX_CATALOG_PAGES):
            catalog, page = self._backend.parse_models(await self._fetch_page(page))
            models += catalog.models
            default = catalog.default or default
            if page is None:
                break
        return Catalog(tuple(models), default)

    async def _fetch_page(self, page: str | None) -> bytes:
        async with self._opened(lambda credential: self._backend.list_models(credential, page)) as (reply, _):
            return await _small(reply, _MAX_MODELS)

    # --- one call, and its repeats ---

    async def _begun(
        self, request: Request, build: Callable[[Credential], HttpCall], call: AsyncExitStack
    ) -> tuple[_Answer, list[Event]]:
        """The first attempt that brings something, and what it brought; `call` keeps it open."""
        attempt = 0
        while True:
            try:
                return await self._attempt(request, build, call)
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
        self, request: Request, build: Callable[[Credential], HttpCall], call: AsyncExitStack
    ) -> tuple[_Answer, list[Event]]:
        """One attempt. A Fail is raised while nothing but Begin came before it, so Begin waits for what follows."""
        reply, account = await call.enter_async_context(self._opened(build))
        answer = _Answer(reply, self._backend.decoder(request, reply.headers), self._tails, account)
        waiting: list[Event] = []
        while events := await answer.next():
            waiting += events
            following = next((event for event in waiting if not isinstance(event, Begin)), None)
            if isinstance(following, Fail):
                raise following.error
            if following is not None:
                break
        return answer, waiting

    @asynccontextmanager
    async def _opened(self, build: Callable[[Credential], HttpCall]) -> AsyncIterator[tuple[HttpReply, str]]:
        """A 200's reply, and the account it is for. A refused token is replaced once, a missing profile found once."""
        credential = await self._tokens.credential()
        mended: set[type[errors.ProxyError]] = set()
        while True:
            async with self._send(build(credential)) as reply:
                if reply.status == 200:
                    # One login at a time, so that no profile is one account as well. Not the token: it changes.
                    yield reply, credential.profile_arn or ""
                    return
                error = self._backend.failure(reply.status, reply.headers, await _small(reply))
            better = None if type(error) in mended else await self._better(credential, error)
            if better is None:
                raise self._final(error)
            mended.add(type(error))
            credential = better

    def _final(self, error: errors.ProxyError) -> errors.ProxyError:
        if isinstance(error, errors.UpstreamTokenRefused):
            return errors.UpstreamAccessDenied(f"{error.message.rstrip('.')}. {self._tokens.remedy}")
        return error

    async def _better(self, credential: Credential, error: errors.ProxyError) -> Credential | None:
        """A credential with which the failed call may succeed."""
        match error:
            case errors.UpstreamTokenRefused():
                fresh = await self._tokens.credential(rejected=credential.access_token)
                return None if fresh.access_token == credential.access_token else fresh
            case errors.UpstreamProfileRequired() if credential.profile_arn is None:
                return await self._with_profile(credential)
            case _:
                return None

    async def _with_profile(self, credential: Credential) -> Credential | None:
        """The account's first profile, over the regions that may know it; remembered for later calls."""
        failed: errors.UpstreamError | None = None
        for call in self._backend.list_profiles(credential):
            try:
                async with self._send(call) as reply:
                    body = await _small(reply)
                    found = self._backend.parse_profiles(body) if reply.status == 200 else []
            except errors.UpstreamError as error:
                # Another region may still know.
                failed, found = error, []
            if found:
                await self._tokens.remember_profile(found[0])
                return msgspec.structs.replace(credential, profile_arn=found[0])
        if failed is not None:
            raise failed
        return None


class _Answer:
    """An open reply, decoded. A plain object, not a generator around a generator: each layer costs at every read."""

    __slots__ = ("_account", "_chunks", "_decoder", "_ended", "_tails", "_usage", "closing", "failure")

    def __init__(self, reply: HttpReply, decoder: Decoder, tails: Tails, account: str) -> None:
        self._chunks = aiter(reply.chunks)
        self._decoder = decoder
        self._tails = tails
        self._account = account
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
            cut_off = self._tails.ended(self._account, tail=self._decoder.tail)
            events[-1:] = [Fail(cut_off)] if cut_off else [*self.closing(self._usage), events[-1]]
        return events


async def _small(reply: HttpReply, most: int = _MAX_ERROR_BODY) -> bytes:
    """The beginning of a body: what is too long to be read is too long to be right."""
    body = bytearray()
    async for chunk in reply.chunks:
        body += chunk
        if len(body) > most:
            break
    return bytes(body)
