"""Responses that can be asked for and continued from, for each key by itself; in memory only.

In: finished responses, the time. Out: the same, as long as they are kept. Refuses to know clocks and what stands in
them. Bounded by number, bytes and age, for each key and for all together: the oldest go first. What is looked up stays
as it is, so that it may be done beside the loop.
"""

from __future__ import annotations

import msgspec


class Kept(msgspec.Struct, frozen=True):
    """A response, and the items it came from; together with its output they are the chat so far."""

    id: str
    body: bytes
    input: tuple[bytes, ...]
    output: tuple[bytes, ...]

    @property
    def chat(self) -> tuple[bytes, ...]:
        return (*self.input, *self.output)

    @property
    def size(self) -> int:
        """Items that it shares with those before it count again: so the sum is never less than what is held."""
        return len(self.body) + sum(map(len, self.input)) + sum(map(len, self.output))


class Limits(msgspec.Struct, frozen=True):
    """Of number and size (bytes), `key_share` is what one key may have."""

    number: int = 2000
    size: int = 128 * 1024 * 1024
    age: float = 24 * 3600
    key_share: float = 0.25


LIMITS = Limits()


class Store:
    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._shelves: dict[bytes, _Shelf] = {}

    @property
    def size(self) -> int:
        return sum(shelf.size for shelf in self._shelves.values())

    def __len__(self) -> int:
        return sum(len(shelf.kept) for shelf in self._shelves.values())

    def find(self, owner: bytes, response_id: str, now: float) -> Kept | None:
        shelf = self._shelves.get(owner)
        found = shelf.kept.get(response_id) if shelf else None
        return found[0] if found and now - found[1] <= self._limits.age else None

    def all_of(self, owner: bytes, now: float) -> list[Kept]:
        """The latest first."""
        shelf = self._shelves.get(owner)
        known = list(shelf.kept.values()) if shelf else []
        return [kept for kept, since in reversed(known) if now - since <= self._limits.age]

    def keep(self, owner: bytes, kept: Kept, now: float) -> None:
        # Taken out and put back: the keys stand in the order of their last response.
        shelf = self._shelves.pop(owner, None) or _Shelf()
        self._shelves[owner] = shelf
        shelf.add(kept, now)
        limits = self._limits
        while not shelf.fits(limits.number * limits.key_share, limits.size * limits.key_share):
            shelf.drop_oldest()
        self._drop_old(now)
        while len(self) > limits.number or self.size > limits.size:
            self._drop_oldest(next(iter(self._shelves)))

    def delete(self, owner: bytes, response_id: str) -> None:
        shelf = self._shelves.get(owner)
        if shelf is not None:
            shelf.drop(response_id)
            if not shelf.kept:
                del self._shelves[owner]

    def _drop_old(self, now: float) -> None:
        for owner in list(self._shelves):
            shelf = self._shelves[owner]
            while now - shelf.oldest > self._limits.age:
                shelf.drop_oldest()
            if not shelf.kept:
                del self._shelves[owner]

    def _drop_oldest(self, owner: bytes) -> None:
        self._shelves[owner].drop_oldest()
        if not self._shelves[owner].kept:
            del self._shelves[owner]


class _Shelf:
    """One key's responses, each with the time since when it is kept; the oldest first."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Kept, float]] = {}
        self.size = 0

    @property
    def oldest(self) -> float:
        """Since when; never, where nothing is kept."""
        return next(iter(self.kept.values()))[1] if self.kept else float("inf")

    def fits(self, number: float, size: float) -> bool:
        return len(self.kept) <= number and self.size <= size

    def add(self, kept: Kept, now: float) -> None:
        self.drop(kept.id)
        self.kept[kept.id] = (kept, now)
        self.size += kept.size

    def drop(self, response_id: str) -> None:
        if (found := self.kept.pop(response_id, None)) is not None:
            self.size -= found[0].size

    def drop_oldest(self) -> None:
        self.drop(next(iter(self.kept)))
