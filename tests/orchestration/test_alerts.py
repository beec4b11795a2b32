"""The sensor tells of failed runs, red checks and stale agents: once, to every channel, without personal data."""

import atexit
import dataclasses
import datetime as dt
import json
import os
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
from slack_sdk import WebClient

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.sandbox.server import Sandbox
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.connection import Warehouse
from tests.receivers import Inbox

StartSandbox = Callable[..., Sandbox]
MakeSettings = Callable[..., Settings]
DAY, POISONED = "2026-03-08", "2026-03-09"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as made:
        os.environ["THEIR_WEBHOOK"] = f"{made.url}/secret-path"  # removed by clean_environment
        yield made


class Alerting:
    """The sensor of some definitions, ticked by hand."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.definitions = build_synthflow_defs(settings)
        self.instance = instance
        self.cursor: str | None = None

    def tick(self) -> str:
        sensor = self.definitions.resolve_sensor_def("synthflow_alerts")
        with dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions) as context:
            result = sensor.evaluate_tick(context)
        self.cursor = result.cursor
        return str(result.skip_message)

    def run(self, job: str = "synthflow_daily", first: str = DAY, last: str = DAY) -> dg.ExecuteInProcessResult:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags=tags if job == "synthflow_daily" else {}, raise_on_error=False
        )


def subjects(inbox: Inbox) -> list[str]:
    return [json.loads(posted)["subject"] for posted in inbox.posted]


def test_a_failed_run_is_told_once_with_days_reason_and_link(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20, poisoned_day=dt.date.fromisoformat(POISONED))
    alerting = Alerting(
        settings_for(sandbox, alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"), webserver_url="http://127.0.0.1:3000/"),
        instance,
    )
    assert alerting.tick() == "nothing to tell"
    failed = alerting.run(first=DAY, last=POISONED)
    assert not failed.success
    assert "webhook: 1 alert(s) sent" in alerting.tick()
    [posted] = [json.loads(text) for text in inbox.posted]
    assert posted["subject"] == "synthflow: run synthflow_daily for 2026-03-08 to 2026-03-09 failed"
    assert posted["details"].startswith("1 of 2 (day, agent) pairs failed: 2026-03-09 of Front Desk")
    assert posted["url"] == f"http://127.0.0.1:3000/runs/{failed.run_id}"
    assert alerting.tick() == "nothing to tell"
    sandbox.api.knobs = dataclasses.replace(sandbox.api.knobs, poisoned_day=None)
    assert alerting.run(first=POISONED, last=POISONED).success
    assert "run synthflow_daily" not in " ".join(subjects(inbox)[1:])


def test_a_stale_agent_turns_red_and_is_told_once_until_something_changes(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    alerting = Alerting(settings_for(sandbox, alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK")), instance)
    yesterday = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).date().isoformat()
    assert alerting.run(first=yesterday, last=yesterday).success
    alerting.run("synthflow_freshness")
    alerting.tick()
    assert not [subject for subject in subjects(inbox) if "fresh_per_model" in subject]
    with Warehouse(alerting.definitions.resources["synthflow_warehouse"].database).connect() as connection:
        connection.execute("DELETE FROM call_loads; DELETE FROM calls")
        connection.execute("INSERT INTO call_loads (day, model_id, loaded_at) VALUES (current_date - 5, 'a', now())")
    for _ in range(2):
        alerting.run("synthflow_freshness")
        alerting.tick()
    told = [json.loads(posted) for posted in inbox.posted if "fresh_per_model" in posted]
    assert [one["subject"] for one in told] == ["synthflow: check fresh_per_model of synthflow/calls is red (error)"]
    assert "the latest landed day is" in told[0]["details"]


def test_a_channel_that_fails_waits_and_does_not_hold_up_the_others(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    os.environ["THEIR_TOKEN"] = "xoxb-secret-token"
    settings = settings_for(
        start_sandbox(agents=1, calls_per_day=10),
        model_ids="nobody",
        alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"),
        alert_slack_token=dg.EnvVar("THEIR_TOKEN"),
        alert_slack_channel="#calls",
    )
    alerting = Alerting(settings, instance)
    alerting.tick()
    assert not alerting.run().success
    with Inbox() as slack:
        address = slack.url
        monkeypatch.setattr(
            "dagster_slack.SlackResource.get_client", lambda self: WebClient(self.token, base_url=f"{address}/api/")
        )
        inbox.status = 500
        said = alerting.tick()
        assert "webhook: the webhook answered 500; 1 alert(s) wait for the next tick" in said
        assert "Slack: 1 alert(s) sent" in said
        inbox.status = 200
        assert alerting.tick() == "webhook: 1 alert(s) sent"
        assert len(slack.posted) == 1
    assert len(inbox.posted) == 2
    assert "SYNTHFLOW_MODEL_IDS names nobody" in inbox.posted[1]
    assert "secret" not in f"{alerting.cursor}{said}"


def test_slack_says_why_it_refuses(
    settings_for: MakeSettings,
    start_sandbox: StartSandbox,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    os.environ["THEIR_TOKEN"] = "xoxb-secret-token"
    settings = settings_for(
        start_sandbox(agents=1, calls_per_day=10),
        model_ids="nobody",
        alert_slack_token=dg.EnvVar("THEIR_TOKEN"),
        alert_slack_channel="#nowhere",
    )
    alerting = Alerting(settings, instance)
    alerting.tick()
    alerting.run()
    with Inbox(answer=b'{"ok": false, "error": "channel_not_found"}') as slack:
        address = slack.url
        monkeypatch.setattr(
            "dagster_slack.SlackResource.get_client", lambda self: WebClient(self.token, base_url=f"{address}/api/")
        )
        assert "Slack did not take the message (channel_not_found)" in alerting.tick()
    assert "Slack cannot be reached" in alerting.tick()


def test_other_exceptions_and_other_peoples_failures_are_named_not_quoted(
    settings_for: MakeSettings, start_sandbox: StartSandbox, instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    @dg.asset(key=["synthflow", "theirs"])
    def theirs() -> None:
        raise dg.Failure("Ada, +14155550123")

    @dg.asset(key=["other", "asset"])
    def other() -> None:
        raise RuntimeError("not ours")

    settings = settings_for(start_sandbox(), alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"))
    alerting = Alerting(settings, instance)
    alerting.tick()
    for one in (theirs, other):
        dg.materialize([one], instance=instance, selection=[one], raise_on_error=False)
    job = dg.Definitions([theirs, other]).resolve_implicit_global_asset_job_def()
    for key in (theirs.key, other.key):
        job.execute_in_process(instance=instance, asset_selection=[key], raise_on_error=False)
    alerting.tick()
    details = [json.loads(posted)["details"] for posted in inbox.posted]
    assert set(details) == {"Step synthflow__theirs failed (Failure); the run's log tells more."}


@pytest.mark.usefixtures("inbox")
def test_a_crash_that_dagster_starts_again_is_no_news(
    settings_for: MakeSettings, start_sandbox: StartSandbox, instance: dg.DagsterInstance
) -> None:
    settings = settings_for(start_sandbox(agents=1), model_ids="nobody", alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"))
    alerting = Alerting(settings, instance)
    alerting.tick()
    failed = alerting.run()
    instance.add_run_tags(failed.run_id, {"dagster/will_retry": "true"})
    assert alerting.tick() == "nothing to tell"
    instance.add_run_tags(failed.run_id, {"dagster/will_retry": "false"})
    assert "1 alert(s) sent" in alerting.tick()


def test_ticks_of_a_code_server_leave_nothing_behind(on_disk: dg.DagsterInstance, inbox: Inbox) -> None:
    definitions = build_synthflow_defs(Settings.of(alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK")))
    sensor = definitions.resolve_sensor_def("synthflow_alerts")
    left = []
    for _ in range(3):
        with dg.build_sensor_context(instance_ref=on_disk.get_ref(), definitions=definitions) as context:
            assert sensor.evaluate_tick(context).skip_message == "nothing to tell"
        left.append(atexit._ncallbacks())  # what Alembic leaves each time that Dagster's storages are opened
    assert left == left[:1] * 3
    assert not inbox.posted


def test_who_wants_no_alerts_has_no_sensor_and_a_half_set_channel_is_refused() -> None:
    assert not build_synthflow_defs(Settings.of()).sensors
    with pytest.raises(SettingsError, match=r"^alert_smtp_url and alert_email_to are set together"):
        Settings.of(alert_email_to="a@example.com")
    with pytest.raises(SettingsError, match=r"^alert_webhook_url is not usable") as caught:
        Settings.of(alert_webhook_url="ftp://secret.example.com")
    assert "secret" not in str(caught.value)
    [sensor] = list(
        build_synthflow_defs(Settings.of(alert_email_to="a@x.org", alert_smtp_url="smtp://localhost")).sensors or []
    )
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
