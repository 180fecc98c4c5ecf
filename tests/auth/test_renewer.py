from __future__ import annotations

import shutil
import threading

import msgspec
import pytest

from cw_proxy.auth import flow
from cw_proxy.auth.files import write_private
from cw_proxy.auth.records import render_login
from cw_proxy.auth.renewer import Renewer
from cw_proxy.errors import LoginRequired, UpstreamError, UpstreamUnavailable
from cw_proxy.secret import Secret


@pytest.fixture
def renewer(store, service, clock) -> Renewer:
    return Renewer(store, lambda region: service, clock=clock, wait=clock.sleep)


def test_it_asks_saves_and_returns_the_new_tokens(renewer, store, keep, make_login):
    old = keep(make_login(left=-1))
    stamp, new = renewer.renew(old, None)
    assert new.access_token == Secret("access-1")
    assert store.load() == new
    assert stamp == store.stamp()


def test_tokens_another_process_has_stored_meanwhile_are_taken(renewer, service, keep, make_login):
    known = make_login(left=-1)
    stored = keep(make_login(access_token=Secret("theirs")))
    assert renewer.renew(known, None)[1] == stored
    assert service.refreshes == 0


def test_theirs_are_not_taken_when_they_are_about_to_end(renewer, service, keep, make_login):
    keep(make_login(left=5, access_token=Secret("theirs")))
    assert renewer.renew(make_login(left=-1), None)[1].access_token == Secret("access-1")


def test_the_region_of_the_sign_in_opens_the_door(store, service, clock, keep, make_login):
    regions: list[str] = []
    renewer = Renewer(store, lambda region: regions.append(region) or service, clock=clock, wait=clock.sleep)
    renewer.renew(keep(make_login(left=-1, region="eu-west-1")), None)
    assert regions == ["eu-west-1"]


@pytest.mark.parametrize("error", sorted(flow.DEAD_LOGIN))
def test_a_dead_session_clears_the_tokens_and_keeps_where_to_sign_in(renewer, store, service, keep, make_login, error):
    service.answers = [flow.Refused(error)]
    start_url = "https://example.awsapps.com/start"
    old = keep(make_login(left=-1, start_url=start_url))
    with pytest.raises(LoginRequired, match=f"cw-proxy login --start-url {start_url}"):
        renewer.renew(old, None)
    assert store.load() == msgspec.structs.replace(old, access_token=None, refresh_token=None, expires_at=0)


def test_an_access_token_that_still_lives_serves_to_its_end(renewer, store, service, keep, make_login):
    service.answers = [flow.Refused("invalid_grant")]
    kept = renewer.renew(keep(make_login(left=60)), None)[1]
    assert kept == store.load()
    assert (kept.access_token, kept.refresh_token) == (Secret("access-0"), None)


def test_but_not_one_the_service_has_refused(renewer, store, service, keep, make_login):
    service.answers = [flow.Refused("invalid_grant")]
    with pytest.raises(LoginRequired):
        renewer.renew(keep(make_login(left=60)), Secret("access-0"))
    assert store.load().access_token is None


def test_a_refresh_token_rotated_by_one_that_takes_no_lock_is_used(renewer, store, service, keep, make_login):
    """Its file appears between our request and the refusal."""
    theirs = make_login(left=-1, refresh_token=Secret("refresh-0"), access_token=Secret("theirs"))
    old = keep(make_login(left=-1, refresh_token=Secret("used")))
    service.gate = threading.Event()
    done: list[object] = []
    worker = threading.Thread(target=lambda: done.append(renewer.renew(old, None)[1]))
    worker.start()
    assert service.asked.wait(30)
    write_private(store.home / "tokens.json", render_login(theirs))
    service.gate.set()
    worker.join(30)
    assert done == [store.load()]
    assert store.load().access_token == Secret("access-1")


def test_other_refusals_and_failures_leave_the_file_alone(renewer, store, service, keep, make_login):
    old = keep(make_login(left=-1))
    service.answers = [flow.Refused("invalid_request"), UpstreamUnavailable("down")]
    with pytest.raises(UpstreamError, match="invalid_request"):
        renewer.renew(old, None)
    with pytest.raises(UpstreamUnavailable):
        renewer.renew(old, None)
    assert store.load() == old


def test_tokens_a_full_disk_does_not_take_are_kept_in_memory_and_saved_later(renewer, store, service, keep, make_login):
    """Every rename fails while a folder stands in the file's place."""
    old = keep(make_login(left=-1))
    service.gate = threading.Event()
    done: list[object] = []
    worker = threading.Thread(target=lambda: done.append(renewer.renew(old, None)[1]))
    worker.start()
    assert service.asked.wait(30)
    tokens, aside = store.home / "tokens.json", store.home / "aside"
    tokens.replace(aside)
    (tokens / "full").mkdir(parents=True)
    service.gate.set()
    worker.join(30)
    shutil.rmtree(tokens)
    aside.replace(tokens)
    assert done == [renewer.read()[1]]
    assert store.load() == old
    second = renewer.renew(done[0], None)[1]
    assert second.access_token == Secret("access-2")
    assert store.load() == second


def test_nobody_signed_in_is_said(renewer, make_login):
    with pytest.raises(LoginRequired, match="Not signed in"):
        renewer.renew(make_login(), None)


def test_a_profile_is_kept_for_the_next_process(renewer, store, keep, make_login):
    renewer.save_profile("arn:aws:codewhisperer:eu-central-1:1:profile/X")
    assert store.load() is None
    keep(make_login())
    renewer.save_profile("arn:aws:codewhisperer:eu-central-1:1:profile/X")
    assert store.load().profile_arn == "arn:aws:codewhisperer:eu-central-1:1:profile/X"


def test_the_first_reading_sweeps(renewer, store, keep, make_login):
    keep(make_login())
    stale = store.home / ".tokens.json.0123.tmp"
    stale.touch()
    renewer.read()
    assert not stale.exists()
