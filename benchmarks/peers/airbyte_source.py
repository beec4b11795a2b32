"""PyAirbyte: a declarative source, one stream for each agent, into its DuckDB cache."""

import datetime as dt
import os
from pathlib import Path

import airbyte as ab

PAGE_SIZE = 100


def milliseconds(day: str, days: int = 0) -> int:
    start = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), dt.UTC) + dt.timedelta(days=days)
    return int(start.timestamp() * 1000)


def manifest() -> dict:
    return {
        "version": "6.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["calls"]},
        "streams": [
            {
                "type": "DeclarativeStream",
                "name": "calls",
                "primary_key": ["call_id"],
                "schema_loader": {
                    "type": "InlineSchemaLoader",
                    "schema": {"type": "object", "additionalProperties": True, "properties": properties()},
                },
                "retriever": {
                    "type": "SimpleRetriever",
                    "requester": {
                        "type": "HttpRequester",
                        "url_base": os.environ["BENCH_URL"],
                        "path": "/calls",
                        "authenticator": {"type": "BearerAuthenticator", "api_token": os.environ["BENCH_KEY"]},
                        "request_parameters": {
                            "model_id": "{{ stream_partition.model }}",
                            "from_date": str(milliseconds(os.environ["BENCH_FROM"])),
                            "to_date": str(milliseconds(os.environ["BENCH_TO"], 1)),
                        },
                    },
                    "partition_router": {
                        "type": "ListPartitionRouter",
                        "values": os.environ["BENCH_MODELS"].split(","),
                        "cursor_field": "model",
                    },
                    "record_selector": {
                        "type": "RecordSelector",
                        "extractor": {"type": "DpathExtractor", "field_path": ["response", "calls"]},
                    },
                    "paginator": {
                        "type": "DefaultPaginator",
                        "page_size_option": {
                            "type": "RequestOption", "inject_into": "request_parameter", "field_name": "limit",
                        },
                        "page_token_option": {
                            "type": "RequestOption", "inject_into": "request_parameter", "field_name": "offset",
                        },
                        "pagination_strategy": {"type": "OffsetIncrement", "page_size": PAGE_SIZE},
                    },
                },
            }
        ],
        "spec": {
            "type": "Spec",
            "connection_specification": {"type": "object", "properties": {}, "additionalProperties": True},
        },
        "concurrency_level": {"type": "ConcurrencyLevel", "default_concurrency": 8, "max_concurrency": 8},
    }  # fmt: skip


def properties() -> dict:
    texts = (
        "call_id model_id duration end_call_reason lead_phone_number recording_url type_of_call recording_duration "
        "transcript error_message call_status start_time lead_name name agent_phone_number deployment_type timezone "
        "telephony_hangup telephony_disconnect_reason telephony_start telephony_end campaign_type phone_number_from "
        "phone_number_to assistant_version"
    ).split()
    trees = ("judge_results", "executed_actions", "collected_variables", "telephony_sip_headers")
    return {
        **{name: {"type": ["null", "string"]} for name in texts},
        **{name: {"type": ["null", "integer"]} for name in ("telephony_duration", "telephony_ringing_duration")},
        **{name: {"type": ["null", "array"]} for name in ("agents_used", "labels")},
        **{name: {"type": ["null", "object"], "additionalProperties": True} for name in trees},
    }


source = ab.get_source("source-bench", config={"bench": True}, source_manifest=manifest(), streams="*")
file = Path(os.environ["BENCH_FILE"])
source.read(cache=ab.caches.DuckDBCache(db_path=file, cache_dir=file.with_suffix(".cache")), force_full_refresh=True)
