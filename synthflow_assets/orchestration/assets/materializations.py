"""What Dagster records of each day that was written: metadata, data version, and what it was made from."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from synthflow_assets.orchestration.assets.metadata import Metadata
from synthflow_assets.orchestration.run_days import lookback_days, partitions_of
from synthflow_assets.warehouse.content import combined_version

MetadataByDay = Mapping[dg.AssetKey, Mapping[dt.date, Metadata]]

DATA_VERSION = "data_version"  # metadata
# Tags of a materialization, which Dagster itself sets on the results of a step.
CODE_VERSION_TAG = "dagster/code_version"
_DATA_VERSION_TAG, _VERSION_IS_GIVEN_TAG = "dagster/data_version", "dagster/data_version_is_user_provided"
_INPUT_VERSION_TAG, _INPUT_POINTER_TAG = "dagster/input_data_version", "dagster/input_event_pointer"


def results(
    context: dg.AssetExecutionContext, specs: Sequence[dg.AssetSpec], metadata: MetadataByDay
) -> Iterator[dg.MaterializeResult[Any]]:
    """Yield the assets that were written, with the metadata of each partition. Log the changed days of the look-back.

    Args:
        context: of the step.
        specs: of the assets that the step can write.
        metadata: of each day of each asset that it wrote.
    """
    partitions = partitions_of(context)
    log_days(context, specs, {key: _without(by_day, partitions) for key, by_day in metadata.items()})
    for key, by_day in metadata.items():
        shown = {day: by_day[day] for day in by_day if day in partitions}
        for day, day_metadata in shown.items():
            context.add_asset_metadata(day_metadata, key, day.isoformat())
        # Dagster gives all partitions of a run the same version.
        yield dg.MaterializeResult(asset_key=key, data_version=_data_version(shown.values()))


def log_days(context: Any, specs: Sequence[dg.AssetSpec], metadata: MetadataByDay) -> None:
    """Log a materialization of each day, with its data version. Skip unchanged days of the look-back.

    `AutomationCondition.eager()` looks at materializations alone. If each look-back logged its days, everything
    downstream would run again every morning.

    Args:
        context: of the step.
        specs: of the assets, and of others.
        metadata: of each day of each asset that was written.
    """
    lookback = set(lookback_days(context.run, partitions_of(context)))
    log = MaterializationLog(context)
    for key, by_day in metadata.items():
        spec = next(spec for spec in specs if spec.key == key)
        for day, shown in by_day.items():
            if day not in lookback or log.is_changed(spec, day, shown):
                log.add(spec, day, shown)


class MaterializationLog:
    """Logs materializations with the tags that Dagster itself gives to the results of a step.

    Dagster's UI finds outdated days by them.
    """

    def __init__(self, context: Any) -> None:
        self._context = context

    def is_changed(self, spec: dg.AssetSpec, day: dt.date | None, shown: Metadata) -> bool:
        """Return whether the content of a day, or what it is made from, changed since it was last logged.

        Args:
            spec: of the asset.
            day: which day; None if the asset has no partitions.
            shown: its metadata.
        """
        last = self._last(spec.key, day)
        if last is None or last.asset_materialization is None:
            return True
        logged = last.asset_materialization.metadata.get(DATA_VERSION)
        if (logged.value if logged else None) != shown.get(DATA_VERSION):
            return True
        inputs = [self._last(dep.asset_key, day) for dep in spec.deps]
        return any(one.storage_id > last.storage_id for one in inputs if one)

    def add(self, spec: dg.AssetSpec, day: dt.date | None, shown: Metadata) -> None:
        """Log a materialization of a day; of the whole asset if the day is None."""
        tags = {CODE_VERSION_TAG: spec.code_version or self._context.run.run_id}
        if version := shown.get(DATA_VERSION):
            tags |= {_DATA_VERSION_TAG: version, _VERSION_IS_GIVEN_TAG: "true"}
        for dep in spec.deps:
            last = self._last(dep.asset_key, day) or self._last_without_partition(dep.asset_key)
            materialization = last.asset_materialization if last else None
            name = dep.asset_key.to_user_string()
            version = (materialization.tags or {}).get(_DATA_VERSION_TAG) if materialization else None
            tags[f"{_INPUT_VERSION_TAG}/{name}"] = version or "INITIAL"
            tags[f"{_INPUT_POINTER_TAG}/{name}"] = str(last.storage_id) if last else "NULL"
        partition = day.isoformat() if day else None
        self._context.log_event(dg.AssetMaterialization(spec.key, partition=partition, metadata=shown, tags=tags))

    def _last(self, key: dg.AssetKey, day: dt.date | None) -> dg.EventLogRecord | None:
        of_day = dg.AssetRecordsFilter(key, asset_partitions=[day.isoformat()] if day else None)
        records = self._context.instance.fetch_materializations(of_day, limit=1).records
        return records[0] if records else None

    def _last_without_partition(self, key: dg.AssetKey) -> dg.EventLogRecord | None:
        """Return the last record of an asset without partitions, which a translation may add upstream."""
        last = self._last(key, None)
        return last if last and last.partition_key is None else None


def _data_version(shown: Iterable[Metadata]) -> dg.DataVersion | None:
    versions = [str(one[DATA_VERSION]) for one in shown if DATA_VERSION in one]
    if not versions:
        return None
    return dg.DataVersion(versions[0] if len(versions) == 1 else combined_version(versions))


def with_versions(shown: dict[dt.date, Metadata], versions: Mapping[dt.date, str]) -> dict[dt.date, Metadata]:
    """Add the version of the content to the metadata of each day."""
    return {day: {**metadata, DATA_VERSION: versions[day]} for day, metadata in shown.items()}


def _without(by_day: Mapping[dt.date, Metadata], days: Sequence[dt.date]) -> dict[dt.date, Metadata]:
    return {day: shown for day, shown in by_day.items() if day not in days}
