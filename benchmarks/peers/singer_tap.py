"""A tap on the Meltano SDK: a REST stream with an offset paginator, one partition for each agent."""

import datetime as dt
import os
from collections.abc import Iterable
from typing import Any

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.pagination import BaseOffsetPaginator
from singer_sdk.streams import RESTStream

PAGE_SIZE = 100
TEXTS = (
    "model_id duration end_call_reason lead_phone_number recording_url type_of_call recording_duration transcript "
    "error_message call_status start_time lead_name name agent_phone_number deployment_type timezone telephony_hangup "
    "telephony_disconnect_reason telephony_start telephony_end campaign_type phone_number_from phone_number_to "
    "assistant_version"
).split()
NUMBERS = ("telephony_duration", "telephony_ringing_duration")
TREES = ("judge_results", "executed_actions", "collected_variables", "telephony_sip_headers")


def milliseconds(day: str, days: int = 0) -> int:
    start = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), dt.UTC) + dt.timedelta(days=days)
    return int(start.timestamp() * 1000)


class Paginator(BaseOffsetPaginator):
    def has_more(self, response: Any) -> bool:
        return len(response.json()["response"]["calls"]) == PAGE_SIZE


class Calls(RESTStream):
    name = "calls"
    path = "/calls"
    primary_keys = ("call_id",)
    records_jsonpath = "$.response.calls[*]"
    url_base = os.environ["BENCH_URL"]
    schema = th.PropertiesList(
        th.Property("call_id", th.StringType),
        *(th.Property(name, th.StringType) for name in TEXTS),
        *(th.Property(name, th.IntegerType) for name in NUMBERS),
        *(th.Property(name, th.ArrayType(th.StringType)) for name in ("agents_used", "labels")),
        *(th.Property(name, th.ObjectType(additional_properties=True)) for name in TREES),
    ).to_dict()

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token=os.environ["BENCH_KEY"])

    @property
    def partitions(self) -> list[dict[str, Any]]:
        return [{"model": model_id} for model_id in os.environ["BENCH_MODELS"].split(",")]

    def get_new_paginator(self) -> Paginator:
        return Paginator(start_value=0, page_size=PAGE_SIZE)

    def get_url_params(self, context: Any, next_page_token: Any) -> dict[str, Any]:
        return {
            "model_id": context["model"],
            "limit": PAGE_SIZE,
            "offset": next_page_token or 0,
            "from_date": milliseconds(os.environ["BENCH_FROM"]),
            "to_date": milliseconds(os.environ["BENCH_TO"], 1),
        }


class BenchTap(Tap):
    name = "tap-bench"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> Iterable[Calls]:
        return [Calls(self)]


if __name__ == "__main__":
    BenchTap.cli()
