"""Measuring: the workload is what the documents say, and medians are medians."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from backstory.measuring.disk import fsync_rate, size_of
from backstory.measuring.machine import machine
from backstory.measuring.samples import Burst, Figure, latencies, percentile, shown
from backstory.measuring.workload import KEYS_A_SCOPE, PAYLOAD_BYTES, batches_of, value, values


@pytest.mark.parametrize("number", [0, 7, 255, 10**9])
def test_every_value_has_the_promised_length(number: int) -> None:
    assert PAYLOAD_BYTES == len(json.dumps(value(number), separators=(",", ":")))


def test_values_differ() -> None:
    assert len(values()) == len({json.dumps(one) for one in values()})


def test_a_filled_log_has_so_many_events_and_each_key_at_least_once() -> None:
    keys = 2 * KEYS_A_SCOPE
    written = Counter((scope, key) for scope, names in batches_of(10 * keys, keys) for key in names)
    assert 10 * keys == written.total()
    assert keys == len(written)


def test_a_percentile_is_the_nearest_rank() -> None:
    numbers = list(range(1, 101))
    assert [1, 50, 99, 100] == [percentile(numbers, percent) for percent in (0, 50, 99, 100)]


def test_latencies_are_microseconds() -> None:
    assert {"p50 us": 2.0, "p99 us": 9.0} == latencies([9_000, 1_000, 2_000])


def test_a_burst_without_call_times_has_a_rate_alone() -> None:
    assert {"events/s": 50.0} == Burst(100, 2.0).figures()


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert 2.0 == Figure("ours", "p50 us", (9.0, 1.0, 2.0)).median


def test_figures_are_shown_with_three_digits() -> None:
    assert ["12,346", "-1,060", "124", "0.0123"] == [shown(number) for number in (12_345.6, -1_060.4, 123.7, 0.0123)]


def test_the_disk_is_sampled_without_leaving_anything(tmp_path: Path) -> None:
    assert fsync_rate(tmp_path, seconds=0.01) > 0
    assert 0 == size_of(tmp_path)


def test_the_machine_is_told(tmp_path: Path) -> None:
    assert {"cpu", "cores", "kernel", "file_system", "python", "load"} <= machine(tmp_path).keys()
