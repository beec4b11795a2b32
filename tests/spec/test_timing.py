"""Telephony timing as tables: milliseconds in, seconds out."""

from typing import Any

import duckdb
import pytest

from tests.spec.calls import Call, computed, land


def call(ringing: int | None = None, talk: int | None = None, seconds: int | None = None, **more: Any) -> Call:
    measured = {"telephony_ringing_duration_ms": ringing, "telephony_duration_ms": talk, "duration_seconds": seconds}
    return {"call_status": "completed", **measured, **more}


COUNTS = "calls, ringing_calls, talk_calls, compared_calls, total_talk_seconds"
RINGING = "mean_ringing_seconds, median_ringing_seconds, p90_ringing_seconds, p99_ringing_seconds, max_ringing_seconds"
TALK = RINGING.replace("ringing", "talk")
DIFFERENCE = "mean_difference_seconds, median_difference_seconds, min_difference_seconds, max_difference_seconds"
NOTHING = (None,) * 5


@pytest.mark.parametrize(
    ("calls", "counts", "ringing", "talk", "difference"),
    [
        pytest.param([], (0, 0, 0, 0, 0), NOTHING, NOTHING, (None,) * 4, id="no calls"),
        pytest.param([call()], (1, 0, 0, 0, 0), NOTHING, NOTHING, (None,) * 4, id="all null"),
        pytest.param(
            [call(2500, 10_250, 13)],
            (1, 1, 1, 1, 10.25),
            (2.5,) * 5,
            (10.25,) * 5,
            (2.75,) * 4,
            id="one call",
        ),
        pytest.param(
            [call(1000, 4000, 4), call(3000, 6000, 5), call(2000, 9000, None, call_status="no-answer")],
            (3, 3, 2, 2, 10),
            (2, 2, 2.8, 2.98, 3),
            (5, 5, 5.8, 5.98, 6),
            (-0.5, -0.5, -1, 0),
            id="ringing of all calls, talk of the connected, and a connection that is longer than the call",
        ),
    ],
)
def test_telephony_timing_daily(
    connection: duckdb.DuckDBPyConnection,
    calls: list[Call],
    counts: tuple[Any, ...],
    ringing: tuple[Any, ...],
    talk: tuple[Any, ...],
    difference: tuple[Any, ...],
) -> None:
    land(connection, calls)
    [row] = computed(connection, "telephony_timing_daily", columns=f"{COUNTS}, {RINGING}, {TALK}, {DIFFERENCE}")
    assert row == (*counts, *ringing, *talk, *difference)
