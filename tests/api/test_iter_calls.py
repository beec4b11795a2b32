"""`iter_calls`, and `SynthflowResource` in an asset that uses nothing else of this package."""

import datetime as dt
import os
from collections.abc import Callable

import dagster as dg
import pytest

from synthflow_assets.api.client import SynthflowClient
from synthflow_assets.errors import NotFoundError, SettingsError
from synthflow_assets.orchestration.resources import SynthflowResource
from synthflow_assets.sandbox.server import Sandbox

StartSandbox = Callable[..., Sandbox]
START, END = dt.datetime(2026, 3, 10, 6, tzinfo=dt.UTC), dt.datetime(2026, 3, 12, tzinfo=dt.UTC)


def ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)


@pytest.mark.parametrize("window_filters", ["start", "end", "start_and_end"])
def test_each_call_that_starts_in_the_span_comes_once(start_sandbox: StartSandbox, window_filters: str) -> None:
    sandbox = start_sandbox(agents=2, calls_per_day=400, window_filters=window_filters)
    model_id = sandbox.model_ids[0]
    with SynthflowClient(sandbox.api.config.api_key, sandbox.url) as client:
        calls = list(client.iter_calls(model_id, START, END))
        shifted = START.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
        assert len(list(client.iter_calls(model_id, shifted, END))) == len(calls)
    ids = [call["call_id"] for call in calls]
    assert len(set(ids)) == len(ids) > 100
    assert set(ids) == sandbox.api.store.ids_between(model_id, ms(START), ms(END))
    assert {call["model_id"] for call in calls} == {model_id}
    assert all(int(call["duration"]) >= 0 for call in calls)


def test_the_resource_in_another_projects_asset(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    os.environ["THEIR_KEY"] = sandbox.api.config.api_key  # removed by clean_environment

    @dg.asset
    def longest_call(synthflow: SynthflowResource) -> int:
        with synthflow.get_client() as client:
            return max(int(call["duration"]) for call in client.iter_calls(sandbox.model_ids[0], START, END))

    result = dg.materialize(
        [longest_call],
        resources={"synthflow": SynthflowResource(api_key=dg.EnvVar("THEIR_KEY"), base_url=sandbox.url)},
    )
    assert result.output_for_node("longest_call") > 0


def test_a_resource_without_a_key_names_its_argument() -> None:
    with pytest.raises(SettingsError, match=r"^api_key is not set"):
        SynthflowResource(base_url="http://127.0.0.1:9/v2").get_client()


def test_invalid_arguments_are_rejected_at_the_call(start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox()
    with SynthflowClient(sandbox.api.config.api_key, sandbox.url) as client:
        with pytest.raises(ValueError, match=r"^start is '2026-03-10 00:00:00'; allowed is .* with a time zone"):
            client.iter_calls("m", dt.datetime(2026, 3, 10), END)  # noqa: DTZ001
        with pytest.raises(ValueError, match=r"^end is '2026-03-11'; allowed is a date-time with a time zone"):
            client.iter_calls("m", START, "2026-03-11")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="is not before"):
            client.iter_calls("m", END, END)
        with pytest.raises(NotFoundError):
            list(client.iter_calls("nobody", START, END))
    assert all(query["model_id"] == "nobody" for query in sandbox.api.requests)
