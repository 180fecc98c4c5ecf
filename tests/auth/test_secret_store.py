"""A sign-in that several machines share: nobody loses a rotated token, whoever renews, dies, or comes too late."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cw_proxy.auth.lock import LockTaken
from cw_proxy.auth.records import Login, Registration
from cw_proxy.auth.secret_store import LEASE_SECONDS, LOOK_SECONDS, SecretStore, Version
from cw_proxy.auth.tokens import TokenManager
from cw_proxy.errors import BrokenState, LoginRequired, UpstreamUnavailable
from cw_proxy.secret import Secret

ARN = "arn:aws:codewhisperer:eu-central-1:123456789012:profile/X"
DOWN = UpstreamUnavailable("Secrets Manager cannot be reached.")


class Memory:
    """One secret in memory: the seam's contract, with levers. The same is run against moto in the door's tests."""

    name = "shared"

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.fault: BaseException | None = None
        self.before_swap: Callable[[], None] | None = None
        self.reads = 0
        self._lock = threading.Lock()

    @property
    def current(self) -> dict[str, object]:
        return json.loads(self.versions[-1].text)

    def read(self) -> Version | None:
        self._check()
        self.reads += 1
        return self.versions[-1] if self.versions else None

    def create(self) -> None: ...

    def put(self, text: str) -> None:
        self._check()
        with self._lock:
            self._add(text)

    def swap(self, old: Version, text: str) -> Version | None:
        self._check()
        if self.before_swap is not None:
            hook, self.before_swap = self.before_swap, None
            hook()
        with self._lock:
            return self._add(text) if self.versions[-1].id == old.id else None

    def _add(self, text: str) -> Version:
        self.versions.append(Version(f"version-{len(self.versions)}", text))
        return self.versions[-1]

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def secret() -> Memory:
    return Memory()


@pytest.fixture
def machine(secret: Memory, service, clock) -> Callable[[], TokenManager]:
    """Another machine that shares the sign-in."""

    def wait(seconds: float) -> None:
        # The others go on meanwhile; nobody's clock does.
        threading.Event().wait(0.001)

    def make() -> TokenManager:
        store = SecretStore(secret, clock=clock, wait=wait)
        return TokenManager(store, lambda region: service, clock=clock, wait=clock.sleep)

    return make


@pytest.fixture
def keep(secret: Memory, clock) -> Callable[[Login], Login]:
    def save(login: Login) -> Login:
        with SecretStore(secret, clock=clock).writing() as files:
            files.save(login)
        return login

    return save


async def token(manager: TokenManager) -> str:
    return (await manager.credential()).access_token.reveal()


def in_force(secret: Memory) -> str | None:
    login = SecretStore(secret).load()
    return login.refresh_token.reveal() if login and login.refresh_token else None


# --- what is kept -----------------------------------------------------------------------------------------


def test_a_sign_in_and_a_registration_are_kept_beside_each_other(secret: Memory, make_login):
    store = SecretStore(secret)
    assert (store.load(), store.load_registration(), store.kept()) == (None, None, "secretsmanager:shared")
    registration = Registration(
        client_id="client",
        client_secret=Secret("client-secret"),
        expires_at=1_800_000_000,
        scopes=("a",),
        start_url="https://view.awsapps.com/start",
        region="us-east-1",
    )
    login = make_login()
    with store.writing() as files:
        files.rehearse(None)
        files.save_registration(registration)
        files.save(login)
    assert (SecretStore(secret).load(), SecretStore(secret).load_registration()) == (login, registration)
    with store.writing() as files:
        files.remove()
    assert (store.load(), store.load_registration()) == (None, None)
    # The one before the current one can still be read.
    assert [version.text for version in secret.versions[-2:]] == ["{}", "{}"]


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"tokens": 1}', '{"tokens": {"expiresAt": "canary"}}'])
def test_a_secret_that_is_something_else_is_refused_and_not_quoted(secret: Memory, text: str):
    secret.put(text)
    with pytest.raises(BrokenState, match="cw-proxy login --store secretsmanager:shared") as refused:
        SecretStore(secret).load()
    assert "canary" not in str(refused.value)


# --- renewing ---------------------------------------------------------------------------------------------


async def test_of_many_machines_one_renews_and_the_others_take_its_tokens(secret, machine, service, keep, make_login):
    keep(make_login(left=60))
    assert set(await asyncio.gather(*(token(machine()) for _ in range(8)))) == {"access-1"}
    assert service.refreshes == 1
    assert in_force(secret) == "refresh-1"
    assert "lease" not in secret.current
    # The sign-in, a lease, the tokens: AWS keeps a hundred versions of a day.
    assert len(secret.versions) == 3


async def test_others_wait_while_one_renews(secret, machine, service, keep, make_login):
    keep(make_login(left=-1))
    service.gate = threading.Event()
    first = asyncio.create_task(token(machine()))
    await asyncio.to_thread(service.asked.wait, 30)
    assert "lease" in secret.current
    others = [asyncio.create_task(token(machine())) for _ in range(3)]
    reads = secret.reads
    while secret.reads < reads + 20:
        await asyncio.sleep(0.001)
    assert not any(task.done() for task in others)
    service.gate.set()
    assert await asyncio.gather(first, *others) == ["access-1"] * 4
    assert service.refreshes == 1


async def test_a_living_token_costs_one_reading_in_five_minutes(secret, machine, clock, keep, make_login):
    keep(make_login())
    manager = machine()
    for _ in range(int(LOOK_SECONDS)):
        await token(manager)
        clock.now += 1
    assert secret.reads <= 3


async def test_a_secret_that_cannot_be_read_now_stops_nobody_who_has_read_it(secret, machine, clock, keep, make_login):
    keep(make_login())
    manager = machine()
    assert await token(manager) == "access-0"
    secret.fault = DOWN
    clock.now += LOOK_SECONDS
    assert await token(manager) == "access-0"
    with pytest.raises(UpstreamUnavailable):
        await token(machine())


async def test_a_lease_that_was_not_needed_is_given_back(secret, machine, service, keep, make_login):
    keep(make_login(left=60))
    service.answers.append(UpstreamUnavailable("down"))
    assert await token(machine()) == "access-0"
    assert "lease" not in secret.current
    assert await token(machine()) == "access-1"


async def test_a_machine_that_died_while_it_renewed_is_waited_for_and_no_longer(
    secret, machine, service, clock, keep, make_login
):
    keep(make_login(left=-1))
    with SecretStore(secret, clock=clock).writing() as dead:
        dead.load()
        assert dead.claim()
        dead._claimed = False  # It never comes to the end of the block.
    waiting = asyncio.create_task(token(machine()))
    reads = secret.reads
    while secret.reads < reads + 5:
        await asyncio.sleep(0.001)
    assert not waiting.done()
    clock.now += LEASE_SECONDS
    assert await waiting == "access-1"


def test_nobody_waits_for_ever(secret, clock, keep, make_login):
    keep(make_login())

    def held_again(seconds: float) -> None:
        # Whoever holds it dies, and another takes it, over and over.
        clock.now += LEASE_SECONDS - 1
        secret.put(json.dumps({**secret.current, "lease": {"holder": "other", "until": clock.now + LEASE_SECONDS}}))

    held_again(0)
    with SecretStore(secret, clock=clock, wait=held_again).writing() as later, pytest.raises(LockTaken, match="shared"):
        while later.load():
            assert not later.claim()


# --- losing the lease -------------------------------------------------------------------------------------


async def test_tokens_that_come_too_late_win_over_an_end_that_was_none(
    secret, machine, service, clock, keep, make_login
):
    """The first is slow; the second takes the lease over, is refused with the used token, and buries the sign-in.
    Then the first comes with the tokens that are in force."""
    keep(make_login(left=-1))
    second = machine()

    def meanwhile() -> None:
        # The first's lease runs out between the service's answer and the saving.
        clock.now += LEASE_SECONDS
        with pytest.raises(LoginRequired):
            asyncio.run(second.credential())
        assert in_force(secret) is None

    def hook() -> None:
        # The first swap takes the lease; the one after it saves.
        secret.before_swap = meanwhile

    secret.before_swap = hook
    assert await asyncio.to_thread(lambda: asyncio.run(token(machine()))) == "access-1"
    assert in_force(secret) == "refresh-1"
    # Whoever was told that it had ended finds out by itself.
    assert await token(machine()) == "access-1"


@pytest.mark.parametrize("theirs", ["refresh-theirs", None])
async def test_a_sign_in_or_sign_out_meanwhile_is_in_force(secret, machine, service, keep, make_login, theirs):
    keep(make_login(left=-1))

    def meanwhile() -> None:
        if theirs is None:
            secret.put("{}")
        else:
            keep(make_login(refresh_token=Secret(theirs)))

    def hook() -> None:
        secret.before_swap = meanwhile

    secret.before_swap = hook
    await token(machine())
    assert in_force(secret) == theirs


async def test_tokens_that_cannot_be_saved_serve_and_are_saved_later(secret, machine, service, clock, keep, make_login):
    keep(make_login(left=-1))
    manager = machine()
    service.gate = threading.Event()
    asking = asyncio.create_task(token(manager))
    await asyncio.to_thread(service.asked.wait, 30)
    secret.fault = DOWN
    service.gate.set()
    assert await asking == "access-1"
    secret.fault = None
    assert in_force(secret) == "refresh-0"
    clock.now += 3600
    assert await token(manager) == "access-2"
    assert in_force(secret) == "refresh-2"


# --- the profile ------------------------------------------------------------------------------------------


async def test_a_profile_is_added_to_what_is_there(secret, machine, service, keep, make_login):
    keep(make_login())
    manager = machine()
    await manager.remember_profile(ARN)
    versions = len(secret.versions)
    await machine().remember_profile(ARN)
    assert len(secret.versions) == versions
    login = SecretStore(secret).load()
    assert login is not None
    assert login == replace(make_login(), profile_arn=ARN)
    assert (await manager.credential()).profile_arn == ARN
