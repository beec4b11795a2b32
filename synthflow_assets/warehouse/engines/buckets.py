"""Access to buckets of S3, of Google Cloud Storage, and of servers that speak the protocol of S3."""

from __future__ import annotations

from urllib.parse import urlsplit

import duckdb

from synthflow_assets.settings import S3Access
from synthflow_assets.warehouse.engines.base import load_extension
from synthflow_assets.warehouse.statements import quoted

_TYPES = {"s3": "s3", "gs": "gcs"}  # secrets of DuckDB, by the scheme of the location


def is_bucket(location: str) -> bool:
    """Return whether a location is in a bucket."""
    return location.partition("://")[0] in _TYPES


def open_bucket(connection: duckdb.DuckDBPyConnection, location: str) -> None:
    """Give the connection access to buckets, with the keys that the AWS SDK finds: environment, profile or role.

    This package never reads the keys.

    Args:
        connection: any connection.
        location: `s3://bucket/prefix` or `gs://bucket/prefix`.

    Raises:
        duckdb.Error: an extension cannot be loaded, or there are no keys.
    """
    scheme = location.partition("://")[0]
    options = [f"TYPE {_TYPES[scheme]}", "PROVIDER credential_chain"]
    access = S3Access.load()
    if access.endpoint_url:
        parts = urlsplit(access.endpoint_url)
        options += [f"ENDPOINT {quoted(parts.netloc)}", "URL_STYLE 'path'"]
        options += [f"USE_SSL {str(parts.scheme == 'https').lower()}"]
    load_extension(connection, "httpfs")
    load_extension(connection, "aws")
    connection.execute(f"CREATE OR REPLACE SECRET synthflow_{scheme} ({', '.join(options)})")


def is_outage(error: duckdb.Error) -> bool:
    """Return whether a later attempt may succeed. Otherwise, the user must correct the location or the keys."""
    status = getattr(error, "status_code", None)
    if status is not None:
        return status in _TRANSIENT or status >= _SERVER_ERRORS
    return describe_bucket_error(error) == _UNREACHABLE


def describe_bucket_error(error: duckdb.Error) -> str:
    """Return why a bucket cannot be used. DuckDB's own message may quote a response, so it is not shown."""
    status = getattr(error, "status_code", None)
    if status in _REASONS:
        return _REASONS[status]
    if "Secret Validation Failure" in str(error):
        return "no keys are found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile or role of AWS"
    if "extension" in str(error).lower():
        return "a DuckDB extension cannot be loaded; install it with pip install 'synthflow-assets[lake]'"
    return f"the server answers {status}" if status else _UNREACHABLE


_UNREACHABLE = "the server cannot be reached"
_TRANSIENT = (408, 429)
_SERVER_ERRORS = 500
_REASONS = {
    301: "the bucket is in another region; set AWS_REGION",
    400: "the server refuses the request; check AWS_REGION and the keys",
    403: "the keys do not allow it",
    404: "there is no such bucket",
}
