"""The sensor sends alerts about failed runs and checks: once, to every channel, without personal data."""

import atexit
import dataclasses
import datetime as dt
import json
import os
import threading
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
from click.testing import CliRunner
from slack_sdk import WebClient

from synthflow_assets import loading
from synthflow_assets.cli import main
from synthflow_assets.days import last_due_day
from synthflow_assets.errors import AlertError, SettingsError
from synthflow_assets.notify import Alert
from synthflow_assets.orchestration.build import build_synthflow_defs
from synthflow_assets.orchestration.sensors import alerts
from synthflow_assets.orchestration.sensors import channels as alert_channels
from synthflow_assets.orchestration.sensors.channels import Outbox, deliver
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
    """The alert sensor of some definitions. Tests tick it themselves."""

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

    def run(self, first: str = DAY, last: str = DAY, check: str | None = None) -> dg.ExecuteInProcessResult:
        """Land days, without metrics and checks, or with one check of the calls."""
        calls = dg.AssetKey(["synthflow", "calls"])
        return (
            self.definitions.resolve_job_def("synthflow_daily")
            .get_subset(
                asset_selection={calls, *(dg.AssetKey(["synthflow", name]) for name in ("call_rejects", "call_loads"))},
                asset_check_selection={dg.AssetCheckKey(calls, check)} if check else set(),
            )
            .execute_in_process(
                instance=self.instance,
                tags={"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last},
                raise_on_error=False,
            )
        )

    def check_freshness(self) -> None:
        self.definitions.resolve_job_def("synthflow_freshness").execute_in_process(
            instance=self.instance, raise_on_error=False
        )


def subjects(inbox: Inbox) -> list[str]:
    return [json.loads(posted)["subject"] for posted in inbox.posted]


def test_a_check_is_reported_once_and_again_when_it_fails_for_more_or_after_a_day_and_when_it_passes(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    inbox: Inbox,
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20)
    settings = settings_for(sandbox, alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"))
    alerting, warehouse = Alerting(settings, instance), Warehouse(settings.warehouse)
    with warehouse.connect() as connection:
        row = "INSERT INTO call_loads (day, model_id, loaded_at) VALUES ($1, 'a', now())"
        connection.execute(row, [last_due_day(settings.timezone)])
    details = []

    def reported() -> list[str]:
        alerting.check_freshness()
        alerting.tick()
        new = [json.loads(posted) for posted in inbox.posted if "fresh_per_model" in posted]
        inbox.posted.clear()
        details.extend(one["details"] for one in new)
        return [one["subject"] for one in new]

    failed = "synthflow: check fresh_per_model of synthflow/calls failed (error)"
    alerting.tick()
    assert reported() == []
    with warehouse.connect() as connection:
        connection.execute("UPDATE call_loads SET day = current_date - 5")
    assert reported() == [failed]
    assert "the latest landed day is" in details[0]
    assert reported() == []
    with warehouse.connect() as connection:
        connection.execute("INSERT INTO call_loads (day, model_id, loaded_at) VALUES (current_date - 6, 'b', now())")
    assert reported() == [failed]
    assert reported() == []
    cursor = json.loads(str(alerting.cursor))
    cursor["checks"]["synthflow/calls: fresh_per_model"]["reported_at"] -= 86_401
    alerting.cursor = json.dumps(cursor)
    assert reported() == [failed]
    with warehouse.connect() as connection:
        connection.execute("UPDATE call_loads SET day = $1", [last_due_day(settings.timezone)])
    assert reported() == ["synthflow: check fresh_per_model of synthflow/calls passes again"]
    assert reported() == []


def test_a_check_that_was_red_between_two_ticks_is_reported_once_and_another_day_that_passes_does_not_resolve_it(
    start_sandbox: StartSandbox,
    settings_for: MakeSettings,
    instance: dg.DagsterInstance,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "CONFIRM_AFTER_SECONDS", 0.0)
    sandbox = start_sandbox(agents=1, calls_per_day=200, faults={"odd_records": 1.0})
    alerting = Alerting(settings_for(sandbox, alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK")), instance)
    alerting.tick()
    assert alerting.run(check="no_rejects").success
    sandbox.api.store.config = dataclasses.replace(sandbox.api.config, faults={})
    sandbox.api.store._selections.clear()
    assert alerting.run(first="2026-03-07", last="2026-03-07", check="no_rejects").success
    key = dg.AssetCheckKey(dg.AssetKey(["synthflow", "calls"]), "no_rejects")
    record = instance.get_latest_asset_check_evaluation_record(key)
    assert record is not None
    assert record.status.name == "SUCCEEDED"
    alerting.tick()
    failed = "synthflow: check no_rejects of synthflow/calls failed (warning)"
    assert [subject for subject in subjects(inbox) if "no_rejects" in subject] == [failed]
    assert alerting.tick() == "nothing to send"
    assert alerting.run(check="no_rejects").success
    alerting.tick()
    assert subjects(inbox)[-1] == "synthflow: check no_rejects of synthflow/calls passes again"


def test_a_failed_run_is_reported_once_with_days_reason_and_link_and_when_it_has_succeeded(
    start_sandbox: StartSandbox, settings_for: MakeSettings, instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    sandbox = start_sandbox(agents=1, calls_per_day=20, poisoned_day=dt.date.fromisoformat(POISONED))
    alerting = Alerting(
        settings_for(sandbox, alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"), webserver_url="http://127.0.0.1:3000/"),
        instance,
    )
    assert alerting.tick() == "nothing to send"
    failed = alerting.run(first=DAY, last=POISONED)
    assert not failed.success
    assert "webhook: 1 alert(s) sent" in alerting.tick()
    [posted] = [json.loads(text) for text in inbox.posted]
    assert posted["subject"] == "synthflow: run synthflow_daily for 2026-03-08 to 2026-03-09 failed"
    assert posted["details"].startswith("1 of 2 (day, agent) pairs failed: 2026-03-09 of Front Desk")
    assert posted["url"] == f"http://127.0.0.1:3000/runs/{failed.run_id}"
    assert alerting.tick() == "nothing to send"
    assert not alerting.run(first=DAY, last=POISONED).success  # for the same reason
    alerting.tick()
    sandbox.api.config = dataclasses.replace(sandbox.api.config, poisoned_day=None)
    assert alerting.run(first=POISONED, last=POISONED).success  # not all of its days
    alerting.tick()
    assert not [one for one in subjects(inbox)[1:] if "run" in one]
    assert alerting.run(first=DAY, last=POISONED).success
    alerting.tick()
    assert [one for one in subjects(inbox) if "run" in one][1:] == [
        "synthflow: run synthflow_daily for 2026-03-08 to 2026-03-09 has succeeded"
    ]


@pytest.mark.parametrize("command", [["alert", "--test"], ["doctor", "--alerts"]])
def test_a_test_alert_is_sent_through_every_channel_and_each_result_is_printed(
    inbox: Inbox, command: list[str]
) -> None:
    os.environ["SYNTHFLOW_ALERT_WEBHOOK_URL"] = f"{inbox.url}/secret-path"  # removed by clean_environment
    os.environ["SYNTHFLOW_ALERT_SMTP_URL"] = "smtp://127.0.0.1:1"
    os.environ["SYNTHFLOW_ALERT_EMAIL_TO"] = "calls@example.com"
    for status, webhook in ((200, "webhook"), (404, "webhook answered 404")):
        inbox.status = status
        said = CliRunner().invoke(main, command)
        assert said.exit_code == 1  # the mail server is unreachable
        assert webhook in said.output
        assert "mail server did not accept the message (ConnectionRefusedError)" in said.output
        assert "secret" not in said.output
    assert subjects(inbox) == ["synthflow: this is a test"] * 2


def test_a_test_alert_needs_a_channel_and_the_option() -> None:
    assert "add --test" in CliRunner().invoke(main, ["alert"]).output
    assert "no channel is set" in CliRunner().invoke(main, ["alert", "--test"]).output


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
    assert "model_ids names nobody" in inbox.posted[1]
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
    answers = {
        b'{"ok": false, "error": "channel_not_found"}': "Slack refused the message (channel_not_found)",
        # Of a proxy.
        b'{"ok": false, "error": "Ada Smith"}': "Slack refused the message (no reason given)",
        b"[]": "the channel failed (AttributeError)",
        b"\xff": "the channel failed (UnicodeDecodeError)",
    }
    for answer, says in answers.items():
        with Inbox(answer=answer) as slack:
            address = slack.url
            monkeypatch.setattr(
                "dagster_slack.SlackResource.get_client",
                lambda self, address=address: WebClient(self.token, base_url=f"{address}/api/"),
            )
            assert f"Slack: {says}; 1 alert(s) wait for the next tick" in alerting.tick()
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
    assert set(details) == {"Step synthflow__theirs failed (Failure); see the log of the run."}


def fail_runs(instance: dg.DagsterInstance, count: int, **tags: str) -> list[dg.DagsterRun]:
    """Create runs that Dagster marks as failed without a step, as if they could not be started."""
    runs = [
        instance.create_run_for_job(daily, tags=tags)
        for daily in [dg.job(name="synthflow_daily")(lambda: None)]
        for _ in range(count)
    ]
    for run in runs:
        instance.report_run_failed(run)
    return runs


def test_of_many_failures_each_is_counted_once_also_where_the_channel_was_down(
    instance: dg.DagsterInstance, inbox: Inbox
) -> None:
    settings = Settings.of(alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"), webserver_url="http://127.0.0.1:3000")
    alerting = Alerting(settings, instance)
    alerting.tick()
    inbox.status = 503
    fail_runs(instance, 12)
    assert alerting.tick() == "webhook: the webhook answered 503; 12 alert(s) wait for the next tick"
    fail_runs(instance, 48)
    assert alerting.tick() == "webhook: the webhook answered 503; 60 alert(s) wait for the next tick"
    inbox.status = 200
    inbox.posted.clear()
    assert alerting.tick() == "webhook: 60 alert(s) sent"
    [posted] = [json.loads(text) for text in inbox.posted]
    assert posted["subject"] == "synthflow: 60 failed runs and checks"
    *lines, last = posted["details"].splitlines()
    assert len(lines) == 20
    assert set(lines) == {
        "synthflow: run synthflow_daily failed: The run ended outside of its steps: its process died, or was stopped."
    }
    assert last == "and 40 more"
    assert posted["url"] == "http://127.0.0.1:3000/runs"
    assert alerting.tick() == "nothing to send"


def test_a_slow_channel_ends_its_tick_in_time_and_gets_each_alert_once(
    instance: dg.DagsterInstance, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster ends a tick after a minute. The next tick would send the same alerts again."""
    monkeypatch.setattr(alert_channels, "SENDING_SECONDS", 0.25)
    alerting = Alerting(Settings.of(alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK"), webserver_url="http://x"), instance)
    alerting.tick()
    inbox.takes_seconds = 0.1
    runs = fail_runs(instance, 8)
    said = [alerting.tick()]
    while said[-1] != "nothing to send":
        said.append(alerting.tick())
    assert "wait for the next tick: the channel is slow" in said[0]
    assert len(said) > 2
    reported = [json.loads(posted)["url"] for posted in inbox.posted]
    assert reported == [f"http://x/runs/{run.run_id}" for run in runs]


def test_a_channel_that_hangs_holds_up_no_other() -> None:
    arrived = threading.Event()

    def hang(_: Alert) -> None:
        if not arrived.wait(10):
            raise AlertError("the other channel was held up")

    outboxes = {name: Outbox([Alert("run_failed", "ours: run failed", "")]) for name in ("hanging", "quick")}
    said = deliver({"hanging": hang, "quick": lambda _: arrived.set()}, outboxes, "ours", None)
    assert said == ["hanging: 1 alert(s) sent", "quick: 1 alert(s) sent"]


@pytest.mark.usefixtures("inbox")
def test_a_crash_is_reported_if_dagster_does_not_start_the_run_again(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerting = Alerting(Settings.of(alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK")), instance)
    alerting.tick()
    again, _ = fail_runs(instance, 2, **{"dagster/will_retry": "true"})
    assert alerting.tick() == "nothing to send"
    instance.create_run_for_job(
        dg.job(name="synthflow_daily")(lambda: None), tags={"dagster/parent_run_id": again.run_id}
    )
    assert alerting.tick() == "nothing to send"
    # Dagster also announces retries of runs of `dg launch`, which it then cannot start.
    monkeypatch.setattr(alerts, "RETRY_STARTS_WITHIN_SECONDS", 0.0)
    assert alerting.tick() == "webhook: 1 alert(s) sent"
    assert alerting.tick() == "nothing to send"
    [changed] = fail_runs(instance, 1, **{"dagster/will_retry": "true"})
    monkeypatch.setattr(alerts, "RETRY_STARTS_WITHIN_SECONDS", 300.0)
    assert alerting.tick() == "nothing to send"
    instance.add_run_tags(changed.run_id, {"dagster/will_retry": "false"})
    assert alerting.tick() == "webhook: 1 alert(s) sent"


def test_a_cursor_of_another_version_is_no_obstacle(instance: dg.DagsterInstance, inbox: Inbox) -> None:
    alerting = Alerting(Settings.of(alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK")), instance)
    alerting.cursor = '{"since": "long ago", "outboxes": 5}'
    assert alerting.tick() == "nothing to send"
    fail_runs(instance, 1)
    assert alerting.tick() == "webhook: 1 alert(s) sent"
    assert len(inbox.posted) == 1


def test_ticks_of_a_code_server_leave_nothing_behind(on_disk: dg.DagsterInstance, inbox: Inbox) -> None:
    definitions = build_synthflow_defs(Settings.of(alert_webhook_url=dg.EnvVar("THEIR_WEBHOOK")))
    sensor = definitions.resolve_sensor_def("synthflow_alerts")
    left = []
    for _ in range(3):
        with dg.build_sensor_context(instance_ref=on_disk.get_ref(), definitions=definitions) as context:
            assert sensor.evaluate_tick(context).skip_message == "nothing to send"
        left.append(atexit._ncallbacks())  # what Alembic leaves each time that Dagster's storages are opened
    assert left == left[:1] * 3
    assert not inbox.posted


def test_who_wants_no_alerts_has_no_sensor_and_a_half_set_channel_is_refused() -> None:
    assert not build_synthflow_defs(Settings.of()).sensors
    with pytest.raises(SettingsError, match=r"^alert_smtp_url and alert_email_to are needed together"):
        Settings.of(alert_email_to="a@example.com")
    with pytest.raises(SettingsError, match=r"^alert_webhook_url is not usable") as caught:
        Settings.of(alert_webhook_url="ftp://secret.example.com")
    assert "secret" not in str(caught.value)
    [sensor] = list(
        build_synthflow_defs(Settings.of(alert_email_to="a@x.org", alert_smtp_url="smtp://localhost")).sensors or []
    )
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
