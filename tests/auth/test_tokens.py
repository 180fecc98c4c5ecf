from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time

import pytest

from cw_proxy.auth import flow
from cw_proxy.auth.driver import drive
from cw_proxy.auth.oidc_boto import BotoOidc
from cw_proxy.auth.store import Store
from cw_proxy.auth.tokens import StaticTokenSource, TokenManager, service_region
from cw_proxy.emulator import Emulator, Settings
from cw_proxy.errors import BrokenState, LoginRequired, UpstreamUnavailable
from cw_proxy.secret import Secret

MINUTE = 60
DOWN = UpstreamUnavailable("The sign-in service cannot be reached.")
ARN = "arn:aws:codewhisperer:eu-central-1:123456789012:profile/X"


@pytest.fixture
def manager(store, service, clock) -> TokenManager:
    return TokenManager(store, lambda region: service, clock=clock, wait=clock.sleep)


async def token(manager: TokenManager, rejected: str | None = None) -> str:
    credential = await manager.credential(rejected=Secret(rejected) if rejected else None)
    return credential.access_token.reveal()


async def landed(service, store, refreshes: int) -> None:
    """Until a refresh in the background has reached the disk."""
    async with asyncio.timeout(30):
        while (login := store.load()) is None or login.access_token != Secret(f"access-{refreshes}"):
            await asyncio.sleep(0.005)


# --- when to refresh --------------------------------------------------------------------------------------


async def test_a_living_token_is_returned_without_asking(manager, service, keep, make_login):
    keep(make_login(left=16 * MINUTE))
    assert await token(manager) == "access-0"
    assert service.refreshes == 0


async def test_the_hot_path_touches_no_disk_for_a_second(manager, store, clock, keep, make_login):
    keep(make_login())
    await token(manager)
    (store.home / "tokens.json").write_text("{")
    assert await token(manager) == "access-0"
    clock.now += 1
    with pytest.raises(BrokenState):
        await token(manager)


async def test_near_its_end_it_is_refreshed_in_the_background(manager, service, store, clock, keep, make_login):
    keep(make_login(left=14 * MINUTE))
    service.gate = threading.Event()
    assert await token(manager) == "access-0"
    service.gate.set()
    await landed(service, store, 1)
    clock.now += 1
    assert await token(manager) == "access-1"


async def test_just_before_its_end_the_refresh_is_waited_for(manager, keep, make_login):
    keep(make_login(left=MINUTE))
    assert await token(manager) == "access-1"


async def test_a_failed_attempt_is_not_repeated_within_the_gap(manager, service, clock, keep, make_login):
    keep(make_login(left=100))
    service.answers = [DOWN, DOWN]
    assert [await token(manager) for _ in range(3)] == ["access-0"] * 3
    assert len(service.seen) == 1
    clock.now += 29
    assert await token(manager) == "access-0"
    assert len(service.seen) == 1
    clock.now += 1
    assert await token(manager) == "access-0"
    assert len(service.seen) == 2


async def test_a_failed_attempt_in_the_background_is_swallowed(manager, service, clock, keep, make_login):
    keep(make_login(left=10 * MINUTE))
    service.answers = [DOWN]
    assert await token(manager) == "access-0"
    async with asyncio.timeout(30):
        while service.answers:
            await asyncio.sleep(0.005)
    assert await token(manager) == "access-0"


async def test_an_expired_token_and_no_network_is_unavailable_and_the_login_is_kept(
    manager, service, store, keep, make_login
):
    keep(make_login(left=-1))
    service.answers = [DOWN]
    with pytest.raises(UpstreamUnavailable):
        await token(manager)
    assert store.load().refresh_token == Secret("refresh-0")
    assert await token(manager) == "access-1"


async def test_a_clock_set_back_forbids_nothing(manager, clock, service, keep, make_login):
    keep(make_login(left=MINUTE))
    service.answers = [DOWN]
    assert await token(manager) == "access-0"
    clock.now -= 10
    assert await token(manager) == "access-1"


# --- who is signed in -------------------------------------------------------------------------------------


async def test_nobody_signed_in_names_the_command(manager, store, keep, make_login):
    with pytest.raises(LoginRequired, match=r"Not signed in. Run `cw-proxy login`."):
        await token(manager)
    assert not store.home.exists()


async def test_a_login_and_a_logout_in_another_process_are_noticed(manager, store, clock, keep, make_login):
    with pytest.raises(LoginRequired):
        await token(manager)
    keep(make_login())
    clock.now += 1
    assert await token(manager) == "access-0"
    keep(make_login(access_token=Secret("another")))
    clock.now += 1
    assert await token(manager) == "another"
    with store.writing() as files:
        files.remove()
    clock.now += 1
    with pytest.raises(LoginRequired):
        await token(manager)


async def test_an_expired_token_that_cannot_be_renewed_is_a_login_required(manager, keep, make_login):
    keep(make_login(left=-1, refresh_token=None))
    with pytest.raises(LoginRequired, match="has ended"):
        await token(manager)


async def test_invalid_grant_ends_the_sign_in_for_good(manager, service, store, keep, make_login):
    keep(make_login(left=-1))
    service.answers = [flow.Refused("invalid_grant")]
    for _ in range(3):
        with pytest.raises(LoginRequired, match="has ended"):
            await token(manager)
    assert len(service.seen) == 1
    assert store.load().refresh_token is None


async def test_invalid_grant_while_the_token_lives_lets_it_serve_to_its_end(manager, service, clock, keep, make_login):
    keep(make_login(left=MINUTE))
    service.answers = [flow.Refused("invalid_grant")]
    assert [await token(manager) for _ in range(2)] == ["access-0"] * 2
    clock.now += MINUTE
    with pytest.raises(LoginRequired):
        await token(manager)
    assert len(service.seen) == 1


# --- a token the service refuses --------------------------------------------------------------------------


async def test_a_refused_token_is_refreshed_once(manager, service, keep, make_login):
    keep(make_login())
    assert await token(manager, rejected="access-0") == "access-1"
    assert await token(manager, rejected="access-0") == "access-1"
    assert service.refreshes == 1


async def test_refused_again_a_moment_later_it_is_the_same_again(manager, service, clock, keep, make_login):
    keep(make_login())
    assert await token(manager, rejected="access-0") == "access-1"
    assert await token(manager, rejected="access-1") == "access-1"
    clock.now += 30
    assert await token(manager, rejected="access-1") == "access-2"


async def test_another_processs_token_is_taken_at_once_instead(manager, service, keep, make_login):
    keep(make_login())
    assert await token(manager) == "access-0"
    keep(make_login(access_token=Secret("theirs")))
    assert await token(manager, rejected="access-0") == "theirs"
    assert service.refreshes == 0


async def test_without_a_refresh_token_or_a_network_it_is_the_same_again(manager, service, clock, keep, make_login):
    keep(make_login(refresh_token=None))
    assert await token(manager, rejected="access-0") == "access-0"
    keep(make_login())
    clock.now += 1
    service.answers = [DOWN]
    assert await token(manager, rejected="access-0") == "access-0"
    assert await token(manager, rejected="access-0") == "access-1"


async def test_refused_and_the_session_dead_is_a_login_required(manager, service, keep, make_login):
    keep(make_login())
    service.answers = [flow.Refused("invalid_grant")]
    with pytest.raises(LoginRequired):
        await token(manager, rejected="access-0")


# --- one refresh for all ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "rejected"), [(-1, None), (3600, "access-0")])
async def test_a_hundred_tasks_share_one_refresh(manager, service, keep, make_login, left, rejected):
    keep(make_login(left=left))
    tokens = await asyncio.gather(*(token(manager, rejected) for _ in range(100)))
    assert tokens == ["access-1"] * 100
    assert service.refreshes == len(service.seen) == 1


async def test_a_cancelled_asker_neither_stops_the_refresh_nor_loses_its_tokens(
    manager, service, store, keep, make_login
):
    keep(make_login(left=-1))
    service.gate = threading.Event()
    first, second = asyncio.create_task(token(manager)), asyncio.create_task(token(manager))
    assert await asyncio.to_thread(service.asked.wait, 30)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    service.gate.set()
    assert await second == "access-1"
    assert store.load().refresh_token == Secret("refresh-1")


def test_a_refresh_under_way_when_the_server_stops_reaches_the_disk(store, service, clock, keep, make_login):
    keep(make_login(left=-1))
    service.gate = threading.Event()

    async def serve() -> None:
        asking = asyncio.create_task(
            TokenManager(store, lambda region: service, clock=clock, wait=clock.sleep).credential()
        )
        assert await asyncio.to_thread(service.asked.wait, 30)
        asking.cancel()
        service.gate.set()

    asyncio.run(serve())
    assert store.load().refresh_token == Secret("refresh-1")


WORKER = """
import asyncio, sys
from functools import partial
from pathlib import Path
from cw_proxy.auth.oidc_boto import BotoOidc
from cw_proxy.auth.store import Store
from cw_proxy.auth.tokens import RefreshPolicy, TokenManager

async def main(home, url, rounds):
    policy = RefreshPolicy(gap=0)
    manager = TokenManager(Store(Path(home)), partial(BotoOidc, endpoint_url=url), policy=policy)
    credential = await manager.credential()
    for _ in range(int(rounds)):
        # Each round every process finds its token refused, as after a rotation upstream.
        credential = await manager.credential(rejected=credential.access_token)

asyncio.run(main(*sys.argv[1:]))
"""
PROCESSES, ROUNDS = 4, 25


async def test_four_processes_share_one_rotating_refresh_token_and_none_loses_the_login(store, tmp_path):
    async with Emulator(settings=Settings(auto_approve=True)) as emulator:
        await sign_in_at(emulator, store)
        command = [sys.executable, "-c", WORKER, str(store.home), emulator.url, str(ROUNDS)]
        workers = [await asyncio.create_subprocess_exec(*command) for _ in range(PROCESSES)]
        assert [await worker.wait() for worker in workers] == [0] * PROCESSES
        print("refreshes:", emulator.stats.refreshes, "reuse:", emulator.stats.refresh_reuse)
        assert emulator.stats.refresh_reuse == 0
        assert ROUNDS <= emulator.stats.refreshes <= PROCESSES * ROUNDS
        login = store.load()
        assert login is not None
        assert emulator.oidc.accepts(login.access_token.reveal())
        assert login.refreshable


async def sign_in_at(emulator: Emulator, store: Store) -> None:
    door = BotoOidc("us-east-1", endpoint_url=emulator.url)
    steps = flow.sign_in(flow.Place(), None, time.time())
    done = await asyncio.to_thread(drive, steps, door, clock=time.time, wait=lambda seconds: None)
    with store.writing() as files:
        files.save(done.login)


async def test_a_refresh_beside_the_requests_can_be_waited_for(manager, service, store, keep, make_login):
    """Lambda freezes the process between requests: in the middle of a refresh that would cost the login."""
    keep(make_login(left=14 * MINUTE))
    await manager.settled()
    service.gate = threading.Event()
    assert await token(manager) == "access-0"
    settling = asyncio.create_task(manager.settled())
    await asyncio.to_thread(service.asked.wait, 30)
    assert not settling.done()
    service.gate.set()
    await settling
    assert store.load().access_token == Secret("access-1")
    await StaticTokenSource(Secret("x")).settled()


# --- what a credential is ---------------------------------------------------------------------------------


async def test_the_profile_is_remembered_and_says_the_region(manager, store, keep, make_login):
    keep(make_login(region="eu-west-1"))
    assert (await manager.credential()).region == "us-east-1"
    await manager.remember_profile(ARN)
    credential = await manager.credential()
    assert (credential.region, credential.profile_arn) == ("eu-central-1", ARN)
    assert json.loads((store.home / "tokens.json").read_text())["profileArn"] == ARN


@pytest.mark.parametrize(
    ("arn", "region"), [(None, "r"), ("", "r"), ("nonsense", "r"), (ARN, "eu-central-1"), ("a:b:c::e", "r")]
)
def test_the_region_of_a_profile(arn: str | None, region: str):
    assert service_region(arn, "r") == region


async def test_a_token_from_the_environment_is_what_it_is():
    source = StaticTokenSource(Secret("canary"), "us-west-2")
    credential = await source.credential()
    assert credential.region == "us-west-2"
    assert await source.credential(rejected=Secret("canary")) == credential
    await source.remember_profile(ARN)
    assert (await source.credential()).region == "eu-central-1"
    assert "canary" not in repr(credential)


def test_what_helps_is_said_of_the_setting_that_the_token_came_from():
    assert "CW_PROXY_ACCESS_TOKEN" in StaticTokenSource(Secret("x")).remedy
    assert StaticTokenSource(Secret("x"), remedy="Set a key.").remedy == "Set a key."


def test_serving_does_not_import_boto3_before_a_refresh():
    probe = "import sys, cw_proxy.auth.tokens, cw_proxy.auth.oidc_boto; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert not {"boto3", "botocore", "keyring", "click", "rich"} & set(done.stdout.split())
