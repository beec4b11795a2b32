"""The keyword arguments of `Settings.of`, for type checkers and editors.

Written by scripts/generate_docs.py (make docs); change `model.Settings` instead.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import PurePath
from typing import TypedDict

from pydantic import SecretStr


class SettingsArguments(TypedDict, total=False):
    """The fields of `Settings` by name, in every type that is accepted. `dg.EnvVar` is a `str`."""

    api_key: SecretStr | str | None
    region: str
    base_url: str | None
    model_ids: Sequence[str]
    timezone: str
    start_date: dt.date | str
    include_today: bool
    warehouse: str | PurePath
    lake_data_path: str | PurePath | None
    lake_snapshot_days: int
    warehouse_schema: str
    page_size: int
    max_connections: int
    requests_per_second: float | None
    outage_minutes: int
    window_margin_seconds: int
    lookback_days: int
    catch_up_days: int
    backfill_days_per_run: int | None
    short_call_seconds: int
    price_per_minute: float | None
    price_currency: str
    pii: str
    pii_key: SecretStr | str | None
    vanished_fields: str
    export_dir: str | PurePath | None
    group_access: str
    report: str | PurePath
    previews: bool
    report_days: int
    recordings: str | PurePath | None
    alert_webhook_url: SecretStr | str | None
    alert_slack_token: SecretStr | str | None
    alert_slack_channel: str | None
    alert_smtp_url: SecretStr | str | None
    alert_email_to: Sequence[str]
    alert_email_from: str | None
    webserver_url: str | None
