"""One Synthflow workspace in a code location: its settings, and the names of its assets, steps, jobs and resources."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.resources import SynthflowResource, WarehouseResource
from synthflow_assets.settings import Settings

if TYPE_CHECKING:
    from synthflow_assets.api.client import SynthflowClient
    from synthflow_assets.warehouse.connection import Warehouse

ASSET_NAME = "synthflow/asset"  # metadata: the name of the asset, whatever its key is


@dataclass(frozen=True)
class Workspace:
    """A workspace. Every name begins with its key prefix, so one code location can have several workspaces."""

    settings: Settings = field(default_factory=Settings.of)
    key_prefix: tuple[str, ...] = ("synthflow",)
    group_name: str = "synthflow"
    owners: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    automation_condition: dg.AutomationCondition[Any] | None = None
    launch_command: str = "dg launch"  # in messages, followed by its options
    # The translated spec of each asset, by name.
    translated: Mapping[str, dg.AssetSpec] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        settings: Settings,
        key_prefix: str | Sequence[str] | None = None,
        group_name: str | None = None,
        **spec_arguments: Any,
    ) -> "Workspace":
        """Return a workspace. Unless they are given, its key prefix, schema and group have the same name.

        Args:
            settings: of the workspace.
            key_prefix: of its assets; by default the schema of its tables.
            group_name: of its assets; by default the key prefix.
            spec_arguments: `owners`, `tags` and `automation_condition` of its assets.

        Raises:
            SettingsError: the key prefix is not a valid schema name, and `warehouse_schema` is not set.
        """
        prefix = (key_prefix,) if isinstance(key_prefix, str) else tuple(key_prefix or (settings.warehouse_schema,))
        if not all(re.fullmatch("[A-Za-z0-9_-]+", part) for part in prefix):
            raise SettingsError(f"key_prefix is {key_prefix!r}; allowed in each part are letters, digits, - and _")
        name = _identifier(prefix)
        if "warehouse_schema" not in settings.model_fields_set:
            # Otherwise two workspaces would share their tables. Dagster refuses two with the same key prefix.
            try:
                schema = Settings.of(warehouse_schema=name).warehouse_schema
            except SettingsError as error:
                _, allowed = str(error).split("allowed is ", 1)
                raise SettingsError(
                    f"key_prefix is {'/'.join(prefix)!r}, which makes the schema {name!r}; allowed is {allowed}. "
                    "Or set warehouse_schema"
                ) from None
            settings = settings.model_copy(update={"warehouse_schema": schema})
        return cls(settings, prefix, group_name or name, **spec_arguments)

    def asset_key(self, table: str) -> dg.AssetKey:
        """Return the asset key of a table."""
        return self.translated[table].key if table in self.translated else dg.AssetKey([*self.key_prefix, table])

    def spec(self, name: str, **attributes: Any) -> dg.AssetSpec:
        """Return the spec of an asset with these attributes, or the user's translation of it.

        Args:
            name: of the table or view, or of another asset.
            attributes: of `dg.AssetSpec`, besides those that all assets of the workspace share.

        Raises:
            SettingsError: Dagster does not allow the group, an owner or a tag.
        """
        if name in self.translated:
            return self.translated[name]
        metadata = {ASSET_NAME: name, **attributes.pop("metadata", {})}
        shared = {
            "group_name": self.group_name,
            "owners": list(self.owners),
            "tags": dict(self.tags),
            "automation_condition": self.automation_condition,
        }
        try:
            return dg.AssetSpec(self.asset_key(name), metadata=metadata, **{**shared, **attributes})
        except dg.DagsterInvalidDefinitionError as error:  # such as an owner that is no e-mail address
            raise SettingsError(f"{' '.join(str(error).split())} Correct group_name, owners or tags") from None

    @property
    def selection(self) -> str:
        """The assets of the workspace, as an argument of `dg launch --assets`."""
        groups = {spec.group_name or "default" for spec in self.translated.values()} or {self.group_name}
        return " or ".join(f"group:{group}" for group in sorted(groups))

    def table_name(self, table: str) -> str:
        """Return `DATABASE.SCHEMA.TABLE`, which identifies a table in data catalogues.

        The database of a file is called after the file, as in DuckDB. Two workspaces of a code location that would have
        the same name are refused, see `write_conflicts`.
        """
        return f"{_database(self.settings.warehouse)}.{self.settings.warehouse_schema}.{table}"

    @property
    def storage_kind(self) -> str:
        """The kind of the tables' storage, which Dagster's UI shows as a tag of an asset."""
        return "ducklake" if self.settings.warehouse.startswith("ducklake:") else "duckdb"

    @property
    def name(self) -> str:
        """The key prefix, in characters that Dagster allows in every kind of name."""
        return _identifier(self.key_prefix)

    def named(self, name: str) -> str:
        """Return the name of a job, schedule, sensor or resource: `PREFIX_NAME`."""
        return f"{self.name}_{name}"

    @property
    def backfill_policy(self) -> dg.BackfillPolicy:
        """How many days one run of a backfill covers; the same for all assets, so that one run materializes all."""
        days = self.settings.backfill_days_per_run
        return dg.BackfillPolicy.multi_run(days) if days else dg.BackfillPolicy.single_run()

    def step(self, name: str) -> str:
        """Return the name of a step: `PREFIX__NAME`, so that it differs from steps of other packages."""
        return f"{self.name}__{name}"

    def owns_run(self, run: dg.DagsterRun) -> bool:
        """Return whether a run is of one of the workspace's jobs, or materializes some of its assets."""
        if run.job_name in (self.named("daily"), self.named("freshness"), self.named("recompute")):
            return True
        keys = {spec.key for spec in self.translated.values()}
        return any(
            key in keys or tuple(key.path[: len(self.key_prefix)]) == self.key_prefix
            for key in run.asset_selection or ()
        )

    @property
    def run_tags(self) -> dict[str, str]:
        """The tags that find the workspace's runs in Dagster's UI."""
        return {"synthflow/workspace": self.name}

    def tag_run(self, context: dg.AssetExecutionContext) -> None:
        """Tag a run that was started from assets; runs of a job have the tags from the start."""
        if not self.run_tags.items() <= context.run.tags.items():
            context.instance.add_run_tags(context.run.run_id, self.run_tags)

    @property
    def pool(self) -> str:
        """The pool of the steps that write to the warehouse; a limit on it limits the runs that write."""
        return self.named("warehouse")

    @property
    def api_resource(self) -> str:
        """The resource key of the workspace's `SynthflowResource`."""
        return self.named("api")

    @property
    def warehouse_resource(self) -> str:
        """The resource key of the workspace's `WarehouseResource`."""
        return self.named("warehouse")

    def api(self, context: Any) -> SynthflowResource:
        """Return the API resource in a step that requires `api_resource`."""
        resource = getattr(context.resources, self.api_resource)
        if not isinstance(resource, SynthflowResource):
            raise SettingsError(f"the resource {self.api_resource} is not a SynthflowResource")
        return resource

    @contextmanager
    def open_clients(self, context: Any) -> "Iterator[tuple[SynthflowClient, Warehouse]]":
        """Yield the API client and the warehouse. All runs share its request rate."""
        from synthflow_assets.loading import shared_rate

        with self.api(context).get_client() as client:
            warehouse = self.warehouse(context).get_warehouse()
            with shared_rate(client, warehouse):
                yield client, warehouse

    def warehouse(self, context: Any) -> WarehouseResource:
        """Return the warehouse resource in a step that requires `warehouse_resource`."""
        resource = getattr(context.resources, self.warehouse_resource)
        if not isinstance(resource, WarehouseResource):
            raise SettingsError(f"the resource {self.warehouse_resource} is not a WarehouseResource")
        return resource


def _database(location: str) -> str:
    """Return the name of the database at a location of `SYNTHFLOW_WAREHOUSE`."""
    if location.startswith("$"):  # the resource reads it from a variable, at run time
        return location[1:].lower()
    if location.startswith("ducklake:"):
        named = re.search(r"\bdbname=([^\s']+)", location)
        return named[1] if named else "lake"
    return Path(location).stem


def _identifier(prefix: Sequence[str]) -> str:
    """Return the key prefix in characters that Dagster allows in every kind of name."""
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(prefix))
