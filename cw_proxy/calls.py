"""Calls upstream: with a credential that works, if there is one.

In: how a call is built from a credential. Out: an open 200, or the ProxyError that the refusal is. Refuses to know
what is asked and how the answer is read. A refused token is replaced once, a missing profile found once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from cw_proxy import errors
from cw_proxy.interfaces import Backend, Credential, Sender, TokenSource
from cw_proxy.secret import Secret
from cw_proxy.wire.call import HttpCall, HttpReply

_MAX_ERROR_BODY = 64 * 1024
# What is shorter stands in many a text by chance.
_SHORTEST_KEY = 8


class Calls:
    def __init__(self, backend: Backend, send: Sender, tokens: TokenSource) -> None:
        self._backend = backend
        self._send = send
        self._tokens = tokens

    @asynccontextmanager
    async def opened(self, build: Callable[[Credential], HttpCall]) -> AsyncIterator[tuple[HttpReply, Credential]]:
        """A 200's reply, and whose it is. A refused token is replaced once, a missing profile found once."""
        credential = await self._tokens.credential()
        mended: set[type[errors.ProxyError]] = set()
        while True:
            async with self._send(build(credential)) as reply:
                if reply.status == 200:
                    yield reply, credential
                    return
                error = self._backend.failure(reply.status, reply.headers, await small(reply))
                without(error, credential.access_token)
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
                    body = await small(reply)
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


def without(error: errors.ProxyError, key: Secret) -> None:
    """Some servers repeat the key in what they say of it: that is for nobody to read."""
    if len(key.reveal()) >= _SHORTEST_KEY:
        error.message = error.message.replace(key.reveal(), "***")


async def small(reply: HttpReply, most: int = _MAX_ERROR_BODY) -> bytes:
    """The beginning of a body: what is too long to be read is too long to be right."""
    body = bytearray()
    async for chunk in reply.chunks:
        body += chunk
        if len(body) > most:
            break
    return bytes(body)
