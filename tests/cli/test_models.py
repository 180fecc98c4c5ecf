"""`cw-proxy models`: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from servers import TOKEN, control, program, run, urls

from cw_proxy.emulator.settings import MODEL_IDS


@pytest.fixture
def emulator_url() -> Iterator[str]:
    with program("emulator") as emulator:
        yield emulator.first_line()


def test_the_models_of_the_service(emulator_url: str) -> None:
    environment = {"CW_PROXY_ACCESS_TOKEN": TOKEN, **urls(emulator_url)}
    table = run("models", environment=environment)
    assert (table.returncode, table.stderr) == (0, "")
    rows = [line.split() for line in table.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == list(MODEL_IDS)
    assert [row[0] for row in rows if row[-1] == "default"] == ["claude-sonnet-4.5"]
    assert "\x1b" not in table.stdout, "no colours into a pipe"

    listed = run("models", "--json", environment=environment)
    catalog = json.loads(listed.stdout)
    assert [model["id"] for model in catalog["models"]] == list(MODEL_IDS)
    assert catalog["models"][1]["max_input_tokens"] == 200_000
    assert catalog["default"] == "claude-sonnet-4.5"

    # More than one page of the service's.
    control(emulator_url, "settings", {"models": [f"model-{at}" for at in range(120)]})
    many = json.loads(run("models", "--json", environment=environment).stdout)
    assert [model["id"] for model in many["models"]] == [f"model-{at}" for at in range(120)]
