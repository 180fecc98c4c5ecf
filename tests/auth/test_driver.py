from __future__ import annotations

import pytest

from cw_proxy.auth import flow
from cw_proxy.auth.driver import drive
from cw_proxy.errors import BrokenState, LoginRequired, UpstreamTimeout
from cw_proxy.secret import Secret


def test_a_sign_in_is_performed_to_its_end(service, clock):
    service.answers = [flow.Refused("authorization_pending"), UpstreamTimeout("slow"), flow.Refused("slow_down")]
    shown: list[flow.ShowCode] = []
    steps = flow.sign_in(flow.Place(), None, clock())
    done = drive(steps, service, clock=clock, wait=clock.sleep, show=shown.append)
    assert done.login.access_token == Secret("access-1")
    assert [step.user_code for step in shown] == ["ABCD-EFGH"]
    assert clock.now == 1_700_000_000 + 1 + 1 + 6 + 11
    assert [type(step).__name__ for step in service.seen] == ["Register", "Authorize", *["CreateToken"] * 4]


def test_a_failure_of_the_service_is_an_answer_to_the_flow(service, clock, make_login):
    service.answers = [UpstreamTimeout("The sign-in service did not answer in time.")]
    with pytest.raises(UpstreamTimeout):
        drive(flow.refresh(make_login()), service, clock=clock, wait=clock.sleep)


def test_our_own_failures_and_the_flows_pass_through(service, clock, make_login):
    service.answers = [BrokenState("disk")]
    with pytest.raises(BrokenState):
        drive(flow.refresh(make_login()), service, clock=clock, wait=clock.sleep)
    service.answers = [flow.Refused("access_denied")]
    with pytest.raises(LoginRequired):
        drive(flow.sign_in(flow.Place(), None, clock()), service, clock=clock, wait=clock.sleep)
