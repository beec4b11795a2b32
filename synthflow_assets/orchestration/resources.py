"""The two resources: who is asked, and where the tables live."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


class SynthflowResource(dg.ConfigurableResource[Any]):
    """A Synthflow workspace, for any asset; no warehouse is needed.

    Give the key as `dg.EnvVar`, so that Dagster never shows it::

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
    region: str = Field(default="us", description="Cluster that the workspace lives on: us, eu or global.")
    base_url: str | None = Field(default=None, description="Address of the API, ending in /v2. Wins over the region.")
    max_connections: int = Field(default=8, description="Requests under way at once.")
    requests_per_second: float | None = Field(default=None, description="Upper bound on the request rate.")

    @classmethod
    def from_settings(cls, settings: Settings) -> "SynthflowResource":
        """The resource that the settings describe.

        Raises:
            SettingsError: they hold the key itself, which Dagster would show to everybody who may see its UI.
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
        """A client, to be closed or used in a `with`.

        Raises:
            SettingsError: there is no key.
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
    """dagster-duckdb's resource, with connections that are closed after an exception too, and waits made for people.

    Every connection has the workspace's schema as its default.
    """

    schema_name: str = Field(default=SCHEMA, description="Schema of the workspace's tables.")
    data_path: str | None = Field(default=None, description="Folder or bucket of a lake's Parquet files.")

    @classmethod
    def from_settings(cls, settings: Settings) -> "WarehouseResource":
        """The resource that the settings describe."""
        return cls(
            database=settings.warehouse, schema_name=settings.warehouse_schema, data_path=settings.lake_data_path
        )

    def get_warehouse(self, lock_wait_seconds: float = LOCK_WAIT_SECONDS) -> Warehouse:
        """The tables, for plain code.

        Raises:
            WarehouseUnusableError: this version cannot use such a place.
        """
        return Warehouse(
            self.database,
            self.schema_name,
            data_path=self.data_path,
            lock_wait_seconds=lock_wait_seconds,
            on_wait=dg.get_dagster_logger().warning,
        )

    @contextmanager
    def get_connection(self, *, read_only: bool = False) -> "Iterator[DuckDBPyConnection]":
        """A connection that may write, unless it is to read only.

        Raises:
            WarehouseError: the file is locked for too long, or cannot be used.
        """
        with self.get_warehouse().connect(read_only=read_only) as connection:
            yield connection


@contextmanager
def translate_errors(settings: Settings) -> Iterator[None]:
    """Turn the package's errors into a failed step that says what to do, and that Dagster does not retry.

    The settings are named as they were given: by variables, arguments, or a component's attributes.
    What can pass was retried already, by whom it concerns: the client, or the warehouse's connection.
    """
    try:
        yield
    except SynthflowError as error:
        raise dg.Failure(with_setting_names(str(error), settings), allow_retries=False) from None
