"""Names of models go in; the upstream that they lead to is asked, and no other."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from stage import ME, Answer, Service, Tokens, listed, ok
from strategies import request, say

from cw_proxy import errors
from cw_proxy.backends.codewhisperer import CodeWhisperer
from cw_proxy.backends.codewhisperer.hosts import Hosts
from cw_proxy.backends.openai_upstream import OpenAIUpstream
from cw_proxy.backends.openai_upstream.request import Dialect
from cw_proxy.conversations import Conversations
from cw_proxy.events import Event, Text
from cw_proxy.exchange import Exchange
from cw_proxy.interfaces import Backend, Credential
from cw_proxy.router import Router, prefix_of
from cw_proxy.secret import Secret

HOSTS = Hosts("https://service.example", "https://runtime.example", "us-east-1")
Played = Answer | errors.ProxyError


def models(*ids: str) -> Answer:
    return Answer(json.dumps({"data": [{"id": name} for name in ids]}).encode())


def said(text: str) -> Answer:
    chunk = {"choices": [{"delta": {"content": text}, "finish_reason": "stop"}]}
    return Answer(b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(chunk).encode())


class Doors:
    """A router over two upstreams in memory."""

    def __init__(
        self,
        *,
        service: list[Played] | None = None,
        openai: list[Played] | None = None,
        default: str = "codewhisperer",
        aliases: dict[str, str] | None = None,
        model: str | None = None,
        patience: float = 5.0,
    ) -> None:
        self.service, self.openai = Service(service or []), Service(openai or [])
        amazon = CodeWhisperer(hosts=HOSTS, origin="CLI", max_body=10_000, opt_out=True)
        other = OpenAIUpstream(
            base_url="https://api.example/v1", default_model=model, dialect=Dialect("max_tokens", cache_key=False)
        )
        leading = {name: to for name, to in (aliases or {}).items() if "/" in to}
        own = {name: to for name, to in (aliases or {}).items() if name not in leading}
        exchanges = {
            "codewhisperer": self._exchange(amazon, self.service, own if default == "codewhisperer" else {}),
            "openai": self._exchange(other, self.openai, own if default == "openai" else {}),
        }
        self.router = Router(exchanges, default, leading, patience)

    def _exchange(self, backend: Backend, send: Service, aliases: dict[str, str]) -> Exchange:
        return Exchange(
            backend=backend,
            send=send,
            tokens=Tokens("t"),
            conversations=Conversations(),
            aliases=aliases,
            now=lambda: 0.0,
        )

    async def asked(self, name: str) -> list[str]:
        """The models that were asked, each upstream's with its first letter."""
        plan = await self.router.plan(request(say("user", "hello"), model=name))
        events: list[Event] = []
        async with aclosing(self.router.run(plan, ME)) as batches:
            async for batch in batches:
                events += batch
        assert Text("hello") in events
        return [*map(self._of_service, self.service.states()), *map(self._of_openai, self.openai.calls)]

    @staticmethod
    def _of_service(state: dict[str, dict[str, dict[str, str]]]) -> str:
        return f"c:{state['currentMessage']['userInputMessage'].get('modelId')}"

    @staticmethod
    def _of_openai(call: object) -> str:
        body = getattr(call, "body", b"")
        return f"o:{json.loads(body)['model']}" if body else "list"


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("auto", "c:None"),
        ("codewhisperer", "c:None"),
        ("codewhisperer/auto", "c:None"),
        ("claude-x", "c:claude-x"),
        ("codewhisperer/claude-x", "c:claude-x"),
        ("openai/gpt-5", "o:gpt-5"),
        ("openai/vendor/model", "o:vendor/model"),
        ("fast", "o:gpt-5-mini"),
        ("mine", "c:claude-x"),
    ],
)
async def test_codewhisperer_is_the_default(name: str, asked: str) -> None:
    aliases = {"fast": "openai/gpt-5-mini", "mine": "claude-x"}
    service = [ok("hello")] if asked == "c:None" else [listed("claude-x"), ok("hello")]
    doors = Doors(service=list(service), openai=[said("hello")], aliases=aliases)
    assert await doors.asked(name) == [asked]


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("gpt-5", ["o:gpt-5"]),
        ("auto", ["o:m"]),
        ("codewhisperer", ["o:m"]),
        ("vendor/model", ["o:vendor/model"]),
        ("openai/gpt-5", ["list", "o:gpt-5"]),
        # What a gateway lists is not cut.
        ("openai/gpt-4o", ["list", "o:openai/gpt-4o"]),
        ("codewhisperer/claude-x", ["c:claude-x"]),
        ("old", ["c:None"]),
        ("mine", ["o:gpt-5"]),
    ],
)
async def test_openai_is_the_default(name: str, asked: list[str]) -> None:
    aliases = {"old": "codewhisperer/auto", "mine": "gpt-5"}
    openai: list[Played] = [models("openai/gpt-4o"), said("hello")] if asked[0] == "list" else [said("hello")]
    service: list[Played] = [ok("hello")] if asked == ["c:None"] else [listed("claude-x"), ok("hello")]
    doors = Doors(service=service, openai=openai, default="openai", aliases=aliases, model="m")
    assert await doors.asked(name) == asked


async def test_a_list_that_cannot_be_had_takes_nothing_from_a_prefix() -> None:
    doors = Doors(openai=[errors.UpstreamUnavailable("x"), said("hello")], default="openai")
    assert await doors.asked("openai/gpt-5") == ["list", "o:gpt-5"]


async def test_the_lists_come_together() -> None:
    doors = Doors(service=[listed("claude-x")], openai=[models("gpt-5")], aliases={"fast": "openai/gpt-5"})
    assert await doors.router.names() == ["codewhisperer", "claude-x", "openai/gpt-5", "fast"]
    assert [doors.router.owner(name) for name in ("claude-x", "openai/gpt-5", "fast")] == ["aws", "openai", "openai"]
    for name in ("codewhisperer", "claude-x", "openai/gpt-5", "fast", "codewhisperer/claude-x"):
        await doors.router.check(name)
    for name in ("openai/gpt-6", "gpt-6"):
        with pytest.raises(errors.ModelNotFound):
            await doors.router.check(name)


async def test_the_other_way_round() -> None:
    doors = Doors(service=[listed("claude-x")], openai=[models("gpt-5")], default="openai", model="m")
    assert await doors.router.names() == ["auto", "gpt-5", "codewhisperer/claude-x"]
    assert doors.router.owner("codewhisperer/claude-x") == "aws"


async def test_a_server_without_a_list_is_asked_for_any_model() -> None:
    doors = Doors(openai=[Answer(b"", status=404), said("hello")], service=[listed()], default="openai")
    assert await doors.router.names() == []
    await doors.router.check("anything")
    assert await doors.asked("anything") == ["list", "o:anything"]


async def test_the_others_failure_leaves_its_models_out_and_the_defaults_own_is_told() -> None:
    doors = Doors(service=[listed("claude-x")], openai=[Answer(b"{}", status=401)])
    assert await doors.router.names() == ["codewhisperer", "claude-x"]
    doors = Doors(service=[listed("claude-x")], openai=[Answer(b"{}", status=401)], default="openai")
    with pytest.raises(errors.UpstreamAccessDenied):
        await doors.router.names()


async def test_the_others_silence_is_not_waited_for() -> None:
    silent = models("gpt-5")
    silent.gate = asyncio.Event()
    doors = Doors(service=[listed("claude-x")], openai=[silent], patience=0.01)
    assert await doors.router.names() == ["codewhisperer", "claude-x"]
    silent.gate.set()


class SignedOut:
    remedy = ""

    async def credential(self, *, rejected: Secret | None = None) -> Credential:
        raise errors.LoginRequired("Sign in: cw-proxy login.")

    async def remember_profile(self, arn: str) -> None: ...

    async def warm(self) -> None: ...

    async def settled(self) -> None: ...


async def test_nobody_needs_to_be_signed_in_for_the_other_upstream() -> None:
    doors = Doors(openai=[models("gpt-5"), said("hello"), said("hello")], default="openai")
    doors.router._exchanges["codewhisperer"]._tokens = SignedOut()
    assert await doors.router.names() == ["gpt-5"]
    assert await doors.asked("gpt-5") == ["list", "o:gpt-5"]
    with pytest.raises(errors.LoginRequired):
        await doors.asked("codewhisperer/auto")


async def test_each_upstream_is_held_back_by_its_own_answers_only() -> None:
    quota = Answer(b'{"error":{"message":"x","code":"insufficient_quota"}}', status=429)
    doors = Doors(service=[ok("hello")], openai=[quota])
    for _ in range(2):
        with pytest.raises(errors.InsufficientQuota):
            await doors.asked("openai/gpt-5")
    assert len(doors.openai.calls) == 1
    assert await doors.asked("auto") == ["c:None", "o:gpt-5"]


@pytest.mark.parametrize("name", ["", "/", "openai", "openai/", "/openai", "other/x", "OpenAI/x"])
def test_what_is_no_prefix(name: str) -> None:
    assert prefix_of(name, {"openai": None}) is None


async def test_an_unknown_model_is_unknown_with_its_prefix_gone() -> None:
    doors = Doors(service=[listed("claude-x")])
    with pytest.raises(errors.ModelNotFound, match="claude-x"):
        await doors.router.plan(request(say("user", "hello"), model="codewhisperer/claude-y"))
    with pytest.raises(errors.ModelNotFound, match="openai_model"):
        await doors.router.plan(request(say("user", "hello"), model="openai/auto"))


async def test_only_listed_and_chosen_models_are_known() -> None:
    doors = Doors(service=[listed("claude-x")], openai=[models("gpt-a")], model="gpt-default")
    assert not doors.router.knows("openai", "gpt-a"), "the list is not at hand"
    await doors.router.catalog()
    assert doors.router.knows("openai", "gpt-a")
    assert doors.router.knows("openai", "gpt-default")
    assert not doors.router.knows("openai", "gpt-invented")
    assert not doors.router.knows("nobody", "gpt-a")
