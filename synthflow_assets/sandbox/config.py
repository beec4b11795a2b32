"""The settings of the sandbox: how much data, which reading of the API, which faults."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_API_KEY = "sandbox-key"

# Each fault has a chance: below 1 it is the probability for each request, from 1 on the number of first requests that
# the fault affects.
FAULTS = {
    "error_500": "responds with 500",
    "error_503": "responds with 503",
    "rate_limit": "responds with 429 and a Retry-After in seconds",
    "rate_limit_date": "responds with 429 and a Retry-After as an HTTP date",
    "reset": "closes the connection without a response",
    "truncate": "closes the connection in the middle of the response",
    "html": "responds with 200 and an HTML page",
    "wrong_json": "responds with 200 and JSON of another shape",
    "redirect": "responds with 302 to another path",
    "short_page": "leaves out the last call of a page",
    "repeat_page": "returns the page before the requested one",
    "listed_twice": "lists every tenth call twice, and counts it twice",
    "capped_total": "states a total of at most 200 calls",
    "ignore_offset": "ignores offset",
    "arrival": "adds a new call to the window before each page, which shifts the offsets",
    "other_model": "returns the calls of another agent",
    "ignore_window": "ignores from_date and to_date",
    "low_offset_limit": "responds with 400 to an offset of 300 or more",
    "denied_offset": "responds with 403 to an offset of 300 or more",
    "no_calls": "states a total of 0 and lists nothing, although there are calls",
    "missing_calls": "leaves out every second call, and does not count it",
    "no_calls_null": "states a total of 0 and null instead of an empty list, if there are no calls",
    "no_calls_without_pagination": "leaves out the pagination, if there are no calls",
    "no_calls_without_response": "leaves out the response, if there are no calls",
    "no_calls_204": "responds with 204, if there are no calls",
    "no_calls_404": "responds with 404 and says that no calls were found, if there are none",
    "no_calls_400": "responds with 400 and says that no data was found, if there are no calls",
    "no_calls_object": "sends an empty object instead of an empty list, if there are no calls",
    "no_calls_list": "sends nothing but an empty list, if there are no calls",
    "no_calls_message": "sends only a message that no calls were found, if there are none",
    "deleted_agent": "does not list the last agent, and responds with 404 to requests for it",
    "expired_link": "responds with 403 at the signed address of a recording",
    "broken_audio": "closes the connection in the middle of a recording",
    "listed_actions": "sends executed_actions as a list, not by name",
    "returned_objects": "sends the return values of actions as JSON objects, not as texts",
    "evaluations": "adds custom evaluations to judge_results: a score and a word",
    "deleted_texts": "sends null for transcripts, recordings and numbers of callers, as if the agent deleted them",
    "no_recording_url": "leaves out recording_url, as the API will from 10 January 2027",
    "durations_as_fractions": "sends a duration as a fraction of seconds, such as 60.5",
    "blank_call_ids": "sends a blank call_id for every second call",
    "negative_durations": "sends a negative duration",
    "starts_in_seconds": "sends start_time in seconds instead of milliseconds",
    "starts_as_date_times": "sends start_time as a date-time instead of epoch milliseconds",
    "telephony_starts_as_epochs": "sends telephony_start in epoch milliseconds instead of a date-time",
    "upper_case_statuses": "sends call_status in upper case",
    "statuses_as_objects": "sends call_status as an object",
    "statuses_as_numbers": "sends call_status as a number",
    "statuses_as_booleans": "sends call_status as true",
    "statuses_as_null": "sends null as call_status",
    "durations_in_milliseconds": "sends a duration in milliseconds instead of seconds",
    "starts_a_day_early": "sends a start_time that is a day too early",
    "blank_statuses": "sends a blank call_status",
    "end_reasons_as_booleans": "sends end_call_reason as true",
    "empty_judge_results": "sends an empty object as judge_results",
    "blank_judge_results": "sends a blank text as judge_results",
    "empty_actions": "sends an empty list as executed_actions",
    "actions_without_content": "sends actions that have only a name",
    "json_as_texts": "sends judge_results, executed_actions and collected_variables as texts of JSON",
    "judge_results_as_lists": "sends judge_results as a list",
    "actions_as_texts": "sends each action of executed_actions as a text of JSON",
    "transcripts_as_lists": "sends transcript as a list of lines",
    "recording_durations_as_objects": "sends recording_duration as an object",
    "endless_calls": "sends in-progress for every tenth call, however long ago it started",
    "labels_as_objects": "sends labels as an object instead of a list",
    "odd_records": "adds records with wrong types, unknown fields, or text that no database stores",
}


@dataclass(frozen=True)
class SandboxConfig:
    """The settings of a sandbox. The defaults are a small workspace without faults."""

    api_key: str = DEFAULT_API_KEY
    seed: int = 7
    agents: int = 3
    calls_per_day: int = 120  # of the busiest agent on a weekday; the others have fewer
    same_volume: bool = False  # exactly `calls_per_day` for each agent and UTC day
    border_calls: bool = False  # the first and last call of each UTC day start in its first and last millisecond
    small_records: bool = False  # of about 2 kB: short, most of them without verdicts and actions
    now: dt.datetime | None = None  # None: the machine's clock. Later calls do not exist; calls in progress are open
    history_days: int = 400  # which a request without a window covers

    clock_behind_seconds: float = 0.0  # of the `Date` header
    latency_seconds: float = 0.0  # of each response
    latency_varies: bool = False  # at random: exponentially distributed, with `latency_seconds` as the mean
    full_speed_requests: int | None = None  # more under way at once share this capacity, so their latency grows
    max_requests: int | None = None  # under way at once; more get 429
    requests_per_second: float | None = None  # more get 429
    faults: dict[str, float] = field(default_factory=dict)  # chance by name, see `FAULTS`
    poisoned_day: dt.date | None = None  # in UTC; every request for it gets 400

    # What the API's reference does not specify:
    # The time that from_date and to_date filter. With `start_and_end`, from_date filters starts and to_date ends.
    # A call is created up to 20 minutes before it starts. It is scheduled for a full quarter of an hour, and starts
    # 10 to 25 minutes later.
    # With `early_creation`, every second call was created 90 minutes before its start, and the others at their start.
    window_filters: Literal["start", "end", "start_and_end", "creation", "early_creation", "scheduled_start"] = "start"
    # half_open includes from_date only, exclusive_begin includes to_date only.
    window_ends: Literal["half_open", "inclusive", "exclusive", "exclusive_begin"] = "half_open"
    order: Literal["descending", "ascending", "arbitrary", "tied", "shuffled"] = "descending"
    hide_open_calls: bool = False
    unknown_model: Literal["not_found", "empty"] = "not_found"
    assistants_endpoint: bool = True

    def __post_init__(self) -> None:
        unknown = set(self.faults) - set(FAULTS)
        if unknown:
            raise ValueError(f"unknown fault {', '.join(sorted(unknown))}; allowed are {', '.join(FAULTS)}")
