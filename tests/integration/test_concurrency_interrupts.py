"""Ctrl-C amid commits: the one who was interrupted knows nothing, nobody waits for ever, and nothing is lost."""

from __future__ import annotations

import json

from tests.support.processes import children, last_words

TIMES = 600


def test_an_interrupted_writer_leaves_nobody_waiting_and_loses_nothing(store_url: str) -> None:
    with children() as started:
        told = json.loads(last_words(started.start("tests.support.interrupted", store_url, TIMES)))
    assert 0 < told["written"] < TIMES
    assert told["lost"] == []
    assert told["whole"]
    for name, (acknowledged, unknown) in told["told"].items():
        assert acknowledged <= told["found"][name] <= acknowledged + unknown
