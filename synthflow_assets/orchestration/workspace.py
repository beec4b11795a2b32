"""One Synthflow workspace in a code location: its settings, and how all that belongs to it is named."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from synthflow_assets.errors import SettingsError
from synthflow_assets.orchestration.resources import SynthflowResource, WarehouseResource
from synthflow_assets.settings import Settings

if TYPE_CHECKING:
    from synthflow_assets.api.client import SynthflowClient
    from synthflow_assets.warehouse.connection import Warehouse


@dataclass(frozen=True)
class Workspace:
    """Names every asset, step, job and resource after its key prefix, so that several workspaces live side by side."""

    settings: Settings = field(default_factory=Settings.of)
    key_prefix: tuple[str, ...] = ("synthflow",)
    group_name: str = "synthflow"
    owners: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    automation_condition: dg.AutomationCondition[Any] | None = None

    @classmethod
    def of(
        cls,
        settings: Settings,
        key_prefix: str | Sequence[str] | None = None,
        group_name: str | None = None,
        **marks: Any,
    ) -> "Workspace":
        """Fill in what follows from the rest: one name for key prefix, schema and group, unless they are given.

        Raises:
            SettingsError: the key prefix cannot name the schema, and no other name is set.
        """
        prefix = (key_prefix,) if isinstance(key_prefix, str) else tuple(key_prefix or (settings.warehouse_schema,))
        if not all(re.fullmatch("[A-Za-z0-9_-]+", part) for part in prefix):
            raise SettingsError(f"key_prefix is {key_prefix!r}; allowed in each part are letters, digits, - and _")
        name = _identifier(prefix)
        if "warehouse_schema" not in settings.model_fields_set:
            # Else two workspaces would land in the same tables. That two have the same name, Dagster refuses.
            try:
                schema = Settings.of(warehouse_schema=name).warehouse_schema
            except SettingsError as error:
                _, allowed = str(error).split("allowed is ", 1)
                raise SettingsError(
                    f"key_prefix is {'/'.join(prefix)!r}, which makes the schema {name!r}; allowed is {allowed}. "
                    "Or set warehouse_schema"
                ) from None
            settings = settings.model_copy(update={"warehouse_schema": schema})
        return cls(settings, prefix, group_name or name, **marks)

    def asset_key(self, table: str) -> dg.AssetKey:
        """The asset of a table."""
        return dg.AssetKey([*self.key_prefix, table])

    def table_name(self, table: str) -> str:
        """`SCHEMA.TABLE`."""
        return f"{self.settings.warehouse_schema}.{table}"

    @property
    def name(self) -> str:
        """The key prefix in characters that Dagster allows in every kind of name."""
        return _identifier(self.key_prefix)

    def named(self, name: str) -> str:
        """The name of a job, schedule, sensor or resource: `PREFIX_NAME`."""
        return f"{self.name}_{name}"

    @property
    def backfill_policy(self) -> dg.BackfillPolicy:
        """How many days a run of a backfill covers; the same for all assets, so that they stay in one run."""
        days = self.settings.backfill_days_per_run
        return dg.BackfillPolicy.multi_run(days) if days else dg.BackfillPolicy.single_run()

    def step(self, name: str) -> str:
        """The name of a step. Other people's steps may be called the same, so the prefix stands apart."""
        return f"{self.name}__{name}"

    def owns_run(self, run: dg.DagsterRun) -> bool:
        """Whether the run is one of this workspace's jobs, or was started from assets of which some are its."""
        if run.job_name in (self.named("daily"), self.named("freshness")):
            return True
        return any(tuple(key.path[: len(self.key_prefix)]) == self.key_prefix for key in run.asset_selection or ())

    @property
    def run_tags(self) -> dict[str, str]:
        """What the workspace's runs are found by in Dagster's UI."""
        return {"synthflow/workspace": self.name}

    def tag_run(self, context: dg.AssetExecutionContext) -> None:
        """Give its tags to a run that was started from assets, since only a job has them from the start."""
        if not self.run_tags.items() <= context.run.tags.items():
            context.instance.add_run_tags(context.run.run_id, self.run_tags)

    @property
    def pool(self) -> str:
        """The pool of the steps that only work on the warehouse, by which the runs that write to it may be limited."""
        return self.named("warehouse")

    @property
    def api_resource(self) -> str:
        """Under what name Dagster knows this workspace's `SynthflowResource`."""
        return self.named("api")

    @property
    def warehouse_resource(self) -> str:
        """Under what name Dagster knows this workspace's `WarehouseResource`."""
        return self.named("warehouse")

    def api(self, context: Any) -> SynthflowResource:
        """The resource of this workspace in a step that requires `api_resource`."""
        resource = getattr(context.resources, self.api_resource)
        if not isinstance(resource, SynthflowResource):
            raise SettingsError(f"the resource {self.api_resource} is no SynthflowResource")
        return resource

    @contextmanager
    def open_clients(self, context: Any) -> "Iterator[tuple[SynthflowClient, Warehouse]]":
        """Whom to ask and where to write; the request rate is that of all runs together that write there."""
        from synthflow_assets.loading import shared_rate

        with self.api(context).get_client() as client:
            warehouse = self.warehouse(context).get_warehouse()
            with shared_rate(client, warehouse):
                yield client, warehouse

    def warehouse(self, context: Any) -> WarehouseResource:
        """The resource of this workspace in a step that requires `warehouse_resource`."""
        resource = getattr(context.resources, self.warehouse_resource)
        if not isinstance(resource, WarehouseResource):
            raise SettingsError(f"the resource {self.warehouse_resource} is no WarehouseResource")
        return resource


def _identifier(prefix: Sequence[str]) -> str:
    """The key prefix in characters that Dagster allows in every kind of name."""
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(prefix))
