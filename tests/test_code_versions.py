"""The code version of a metric changes with its SQL and with the settings that change its numbers, and only then."""

import pytest

from synthflow_assets import metrics
from synthflow_assets.metrics import code_version
from synthflow_assets.settings import Settings
from synthflow_assets.warehouse.metric_tables import METRIC_TABLES
from synthflow_assets.warehouse.statements import without_comments

NAMES = [table.name for table in METRIC_TABLES]


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({"short_call_seconds": 11}, {"call_duration_daily", "call_rates_daily"}),
        ({"timezone": "Europe/Berlin"}, {"call_load_hourly", "workspace_load_hourly"}),
        ({"region": "eu", "page_size": 50}, set()),
    ],
)
def test_settings_outdate_the_tables_whose_numbers_they_change(values: dict[str, object], changed: set[str]) -> None:
    other = Settings.of(**values)  # type: ignore[arg-type]
    assert {name for name in NAMES if code_version(name, Settings.of()) != code_version(name, other)} == changed


def test_comments_and_blanks_do_not_count_but_every_other_change_does(monkeypatch: pytest.MonkeyPatch) -> None:
    query = metrics.metric_query("call_rates_daily")
    versions = []
    for changed in (query, f"-- as it was\n\n{query.replace('    ', '  ')}  -- end", query.replace("'busy'", "'bsy'")):
        monkeypatch.setattr(metrics, "metric_query", lambda _, changed=changed: changed)
        versions.append(code_version("call_rates_daily", Settings.of()))
    assert versions[0] == versions[1] != versions[2]


def test_dashes_in_a_text_are_no_comment() -> None:
    assert without_comments("SELECT '--a' - 1, b  -- c's\n\nFROM d --e") == "SELECT '--a' - 1, b FROM d"
