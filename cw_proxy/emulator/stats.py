"""What the emulator has seen so far: counters, and the last request, for tests and developers.

In: facts from the handlers. Out: one JSON table. Refuses to keep a bearer token, even of a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_MASKED = "Bearer ***"


@dataclass(slots=True)
class Stats:
    """`requests` to `refused` count the streaming service only; `connections` those that brought its requests."""

    requests: int = 0
    connections: int = 0
    in_flight: int = 0
    completed: int = 0
    cancelled_by_client: int = 0
    refused: int = 0
    runtime_requests: int = 0
    registrations: int = 0
    device_authorizations: int = 0
    token_grants: int = 0
    refreshes: int = 0
    refresh_reuse: int = 0
    last_rejection: str | None = None
    last_body: Any = None
    last_headers: dict[str, str] = field(default_factory=dict)
    user_agents: dict[str, int] = field(default_factory=dict)

    def saw_headers(self, headers: Mapping[str, str]) -> None:
        self.last_headers = {
            name.lower(): _MASKED if name.lower() == "authorization" else value for name, value in headers.items()
        }
        agent = headers.get("User-Agent", "")
        self.user_agents[agent] = self.user_agents.get(agent, 0) + 1

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def reset(self) -> None:
        """Calls under way stay counted: they will be subtracted when they end."""
        fresh = Stats(in_flight=self.in_flight)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))
