"""The two resources: the API client and the warehouse."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from synthflow_assets.errors import SettingsError, SynthflowError
from synthflow_assets.settings import API_KEY_VARIABLE, Settings, VariableSecret, with_setting_names
from synthflow_assets.warehouse.connection import LOCK_WAIT_SECONDS, Warehouse
from synthflow_assets.warehouse.tables import SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from synthflow_assets.api.client import SynthflowClient
    from synthflow_assets.orchestration.instance.run_locks import RunLocks


class SynthflowResource(dg.ConfigurableResource[Any]):
    """A client for one Synthflow workspace, for use in any asset; it needs no warehouse.

    Pass the key as `dg.EnvVar`, so that Dagster never shows it::

        @dg.asset
        def calls_of_yesterday(synthflow: SynthflowResource) -> None:
            with synthflow.get_client() as client:
                for call in client.iter_calls("model-id", start, end):
                    print(call["call_id"], int(call["duration"]))

        defs = dg.Definitions(
            assets=[calls_of_yesterday],
            resources={"synthflow": SynthflowResource(api_key=dg.EnvVar("SYNTHFLOW_API_KEY"), region="eu")},
        )
    """

    api_key: str = Field(default="", description="API key, as dg.EnvVar.")
    region: str = Field(default="us", description="Region of the workspace: us, eu or global.")
    base_url: str | None = Field(default=None, description="Base URL of the API, ending in /v2. Overrides region.")
    max_connections: int = Field(
        default=32,
        description="Maximum number of concurrent requests. The client finds how many the API answers at full speed.",
    )
    requests_per_second: float | None = Field(default=None, description="Maximum request rate. Unset: no limit.")

    @classmethod
    def from_settings(cls, settings: Settings) -> "SynthflowResource":
        """Return the resource that the settings describe.

        Raises:
            SettingsError: the settings hold the key itself, which Dagster's UI would show.
        """
        if settings.api_key is not None and not isinstance(settings.api_key, VariableSecret):
            raise SettingsError(
                f'a key in code would be shown by Dagster: set api_key=dg.EnvVar("{API_KEY_VARIABLE}"), '
                "or another variable's name"
            )
        return cls(
            api_key=dg.EnvVar(settings.api_key.variable) if settings.api_key is not None else "",
            region=settings.region,
            base_url=settings.base_url,
            max_connections=settings.max_connections,
            requests_per_second=settings.requests_per_second,
        )

    def get_client(self) -> "SynthflowClient":
        """Return a client; close it, or use it in a `with` block.

        Raises:
            SettingsError: no key is set.
        """
        from synthflow_assets.api.client import SynthflowClient

        return SynthflowClient.from_settings(
            Settings.of(
                api_key=self.api_key or None,
                region=self.region,
                base_url=self.base_url,
                max_connections=self.max_connections,
                requests_per_second=self.requests_per_second,
            )
        )


class WarehouseResource(DuckDBResource):
    """The warehouse, based on the resource of dagster-duckdb.

    In addition, it closes connections after an exception, waits for the lock of a file, and makes the workspace's
    schema the default of each connection.
    """

    schema_name: str = Field(default=SCHEMA, description="Schema of the workspace's tables.")
    data_path: str | None = Field(default=None, description="Folder or bucket of a lake's Parquet files.")
    group_access: Literal["none", "read", "write"] = Field(
        default="none", description="What the group may do with new files: none, read or write."
    )

    @classmethod
    def from_settings(cls, settings: Settings) -> "WarehouseResource":
        """Return the resource that the settings describe."""
        return cls(
            database=settings.warehouse,
            schema_name=settings.warehouse_schema,
            data_path=settings.lake_data_path,
            group_access=settings.group_access,
        )

    def get_warehouse(self, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> Warehouse:
        """Return the warehouse, for code that does not depend on Dagster.

        Args:
            lock_wait_seconds: how long to wait for a file that another process has locked.

        Raises:
            WarehouseUnusableError: the kind of the location is unknown.
        """
        return Warehouse(
            self.database,
            self.schema_name,
            data_path=self.data_path,
            group_access=self.group_access,
            lock_wait_seconds=lock_wait_seconds,
            on_wait=dg.get_dagster_logger().warning,
        )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Hold the lock of the run if the instance has the run launcher of this package (see `instance/`)."""
        if (locks := _run_locks(context)) is not None and context.run is not None:
            locks.hold(context.run.run_id)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Release the lock of the run."""
        if (locks := _run_locks(context)) is not None and context.run is not None:
            locks.release(context.run.run_id)

    @contextmanager
    def get_connection(self, *, read_only: bool = False) -> "Iterator[DuckDBPyConnection]":
        """Yield a connection, closed at the end of the block.

        Args:
            read_only: take the shared lock, so that other readers can connect at the same time.

        Raises:
            WarehouseError: the file stayed locked for too long, or cannot be used.
        """
        with self.get_warehouse().connect(read_only=read_only) as connection:
            yield connection


def _run_locks(context: dg.InitResourceContext) -> "RunLocks | None":
    from synthflow_assets.orchestration.instance.run_locks import RunLocks

    return RunLocks.of(context.instance) if context.instance is not None else None


@contextmanager
def translate_errors(settings: Settings) -> Iterator[None]:
    """Turn errors of this package into a `dg.Failure` with the same one-line message.

    Settings are named as the user gave them: by variable, argument or attribute. Dagster does not retry the step:
    transient errors were already retried by the client or by the connection to the warehouse.
    """
    try:
        yield
    except SynthflowError as error:
        raise dg.Failure(with_setting_names(str(error), settings), allow_retries=False) from None
