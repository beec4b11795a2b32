"""A Dagster project with as many assets, checks and steps as this package, which do nothing.

A run of `calls` writes the same events as one of this package: one partition with metadata, an asset without
partitions, and eleven checks in two steps.
"""

from collections.abc import Iterator

import dagster as dg

_DAILY = dg.DailyPartitionsDefinition(start_date="2025-01-01")
_STEPS = {"fetch": 3, "compute": 21, "export": 17, "report": 1}  # assets of each step
_CHECKS_OF_CALLS, _SCHEDULED_CHECKS, _OTHER_CHECKS = 8, 3, 39
_COLUMNS = dg.TableSchema([dg.TableColumn(f"column_{n}", "VARCHAR", f"Column {n}.") for n in range(12)])
_METADATA = {f"number_{n}": n for n in range(10)}
_CALLS = dg.AssetKey(["same", "calls"])


def _specs(step: str, assets: int) -> list[dg.AssetSpec]:
    names = ["calls" if step == "fetch" and not n else f"{step}_{n}" for n in range(assets)]
    return [
        dg.AssetSpec(
            ["same", name],
            deps=[] if step == "fetch" else [_CALLS],
            description=f"The table {name}.",
            partitions_def=_DAILY,
            group_name="same",
            metadata={"dagster/table_name": name, "dagster/column_schema": _COLUMNS},
        )
        for name in names
    ]


def _check_specs(prefix: str, number: int, keys: list[dg.AssetKey]) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(f"{prefix}_{n}", asset=keys[n % len(keys)], description="Nothing.") for n in range(number)
    ]


def _evaluated(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    for key in context.selected_asset_check_keys:
        yield dg.AssetCheckResult(passed=True, asset_key=key.asset_key, check_name=key.name, metadata=_METADATA)


def _step(name: str, assets: int, checks: int) -> dg.AssetsDefinition:
    specs = _specs(name, assets)
    keys = [_CALLS] if name == "fetch" else [spec.key for spec in specs]

    @dg.multi_asset(name=name, specs=specs, check_specs=_check_specs(name, checks, keys), can_subset=True)
    def step(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        if name == "fetch":
            context.log_event(dg.AssetMaterialization(["same", "agents"], metadata=_METADATA))
        for key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=_METADATA)
        yield from _evaluated(context)

    return step


@dg.multi_asset_check(specs=_check_specs("scheduled", _SCHEDULED_CHECKS, [_CALLS]), can_subset=True)
def scheduled(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """Evaluate nothing."""
    yield from _evaluated(context)


_CHECKS = {"fetch": _CHECKS_OF_CALLS, "compute": _OTHER_CHECKS}
_JOBS = [dg.define_asset_job(f"job_{n}", selection=[_CALLS]) for n in range(4)]
defs = dg.Definitions(
    assets=[
        *(_step(name, assets, _CHECKS.get(name, 0)) for name, assets in _STEPS.items()),
        dg.AssetSpec(["same", "agents"]),
    ],
    asset_checks=[scheduled],
    jobs=_JOBS,
    schedules=[dg.ScheduleDefinition(job=job, cron_schedule="0 5 * * *") for job in _JOBS],
    executor=dg.in_process_executor,
)
