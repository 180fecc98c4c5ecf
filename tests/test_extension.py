"""Counts, numbers and notes go in, members of a body come out."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.events import Note, Usage
from cw_proxy.extension import extension_of, usage_of
from cw_proxy.usage import TokenCount


def test_usage_has_openais_names_and_tells_how_it_is_known() -> None:
    assert usage_of(TokenCount(10, 5, 3, "exact")) == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3},
        "cw_usage_source": "exact",
    }


LINK, MORE = {"url": "u"}, {"url": "v"}
CASES: list[tuple[Usage, list[Note], dict[str, Any]]] = [
    (Usage(), [], {}),
    (Usage(input_tokens=1, output_tokens=2), [], {}),
    (Usage(context_percent=0.0, credits=0.0), [], {"context_percent": 0.0, "credits": 0.0}),
    (Usage(), [Note("web_links", [LINK]), Note("web_links", [MORE])], {"web_links": [LINK, MORE]}),
    (
        Usage(),
        [Note("followup", {"content": "x"}), Note("citation", LINK)],
        {"followup": [{"content": "x"}], "citation": [LINK]},
    ),
]


@pytest.mark.parametrize(("usage", "notes", "extension"), CASES)
def test_what_is_said_beside_the_text(usage: Usage, notes: list[Note], extension: dict[str, Any]) -> None:
    assert extension_of([usage], notes) == extension
