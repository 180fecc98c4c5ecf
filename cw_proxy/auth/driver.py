"""Performs the steps of a flow: the same few lines for the command and for the server's refresh.

Synchronous on purpose: a refresh holds a file lock, asks, saves and unlocks in one thread, where no cancelled
request can cut it in half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cw_proxy.auth import flow
from cw_proxy.errors import UpstreamError, UpstreamTimeout


class Door(Protocol):
    """SSO OIDC's three calls. Raises UpstreamError or UpstreamTimeout, and nothing foreign."""

    def register(self, step: flow.Register) -> flow.Registered | flow.Refused: ...

    def authorize(self, step: flow.Authorize) -> flow.Authorized | flow.Refused: ...

    def create_token(self, step: flow.CreateToken) -> flow.Granted | flow.Refused: ...


Show = Callable[[flow.ShowCode], None]


def show_nothing(step: flow.ShowCode) -> None:
    """For flows that have nobody to show a code to."""


def drive(
    steps: flow.Flow[flow.T],
    door: Door,
    *,
    clock: Callable[[], float],
    wait: Callable[[float], None],
    show: Show = show_nothing,
) -> flow.T:
    try:
        step = next(steps)
        while True:
            answer = _perform(step, door, wait, show)
            step = steps.send(flow.Outcome(clock(), answer))
    except StopIteration as stop:
        result: flow.T = stop.value
        return result


def _perform(step: flow.Step, door: Door, wait: Callable[[float], None], show: Show) -> flow.Answer:
    match step:
        case flow.Wait(seconds):
            wait(seconds)
            return None
        case flow.ShowCode():
            show(step)
            return None
        case _:
            return _ask(step, door)


def _ask(step: flow.Register | flow.Authorize | flow.CreateToken, door: Door) -> flow.Answer:
    try:
        match step:
            case flow.Register():
                return door.register(step)
            case flow.Authorize():
                return door.authorize(step)
            case flow.CreateToken():
                return door.create_token(step)
    except (UpstreamError, UpstreamTimeout) as error:
        return flow.Unreachable(error)
