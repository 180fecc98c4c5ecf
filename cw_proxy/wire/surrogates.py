"""Text that is cut between the two halves of a surrogate pair, as a service may cut it and no JSON writer takes it.

In: pieces of text as JSON escapes gave them. Out: text that can be encoded. Refuses to know events and frames.
"""

from __future__ import annotations


class Pieces:
    """A text cut anywhere, also inside a surrogate pair: halves are joined, a lone one is U+FFFD."""

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""  # a high surrogate whose low half is still to come

    def join(self, piece: str) -> str:
        joined = self.half + piece
        self.half = joined[-1:] if "\ud800" <= joined[-1:] <= "\udbff" else ""
        return whole(joined[: len(joined) - len(self.half)])

    def rest(self) -> str:
        self.half, half = "", self.half
        return "\ufffd" if half else ""


def whole(text: str) -> str:
    """Pairs are joined; a lone half becomes U+FFFD, which is what every UTF-8 encoder makes of it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
