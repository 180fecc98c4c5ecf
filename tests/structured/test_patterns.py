"""Regular expressions: which are taken, and what they may cost."""

from __future__ import annotations

import pytest

from cw_proxy.structured.patterns import compiled_patterns, found
from cw_proxy.structured.values import Unfit

TAKEN = [
    r"^\(?\d{3}\)?-\d{4}$",
    r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    r"^.{1,5000}$",
    r"^(?:[A-Z]{3}[0-9]{4} ){10}$",
    r"(?i)abc|(?P<year>\d{4})|(?=a)(?!b)(?<=c)(?<!d)",
    r"\p{L}+",
    "",
]
REFUSED = [
    "(",
    "a{1000000}",
    "(?:a{1000}){1000}",
    "a{1000}{1000}",
    "(?:a{1000})?{1000}",
    "a{99999999999999999999}",
    "(?R)",
    "(?(DEFINE)(?<x>a))(?&x){9}",
    "(?x)(a{1000}) {1000}",
    r"\L<names>",
    "(" * 500 + ")" * 500,
    "a" * 2001,
]


@pytest.mark.parametrize("pattern", TAKEN)
def test_taken(pattern: str) -> None:
    assert pattern in compiled_patterns([{"pattern": pattern}])


@pytest.mark.parametrize("pattern", REFUSED)
def test_refused(pattern: str) -> None:
    with pytest.raises(Unfit):
        compiled_patterns([{"patternProperties": {pattern: {}}}])


def test_many_together_are_refused() -> None:
    with pytest.raises(Unfit):
        compiled_patterns([{"pattern": str(at).zfill(2000)} for at in range(101)])


def test_a_search_has_its_price_and_its_end() -> None:
    prices: list[int] = []
    pattern = compiled_patterns([{"pattern": "(a|aa)+$"}])["(a|aa)+$"]
    assert found(pattern, "ba", prices.append)
    with pytest.raises(Unfit, match="takes too long"):
        found(pattern, "a" * 60 + "b", prices.append)
    assert prices[0] == prices[1] < prices[2]
