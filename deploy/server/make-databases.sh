#!/bin/sh
# Run once, by the image of PostgreSQL, when its volume is still empty: one database and one role for Dagster's history,
# one of each for the lake's catalog. The catalog holds values of calls, so nobody else may read it.
set -eu
psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" \
    --set dagster_password="$DAGSTER_PG_PASSWORD" --set lake_password="$PGPASSWORD" <<'SQL'
CREATE ROLE dagster LOGIN PASSWORD :'dagster_password';
CREATE DATABASE dagster OWNER dagster;
REVOKE CONNECT ON DATABASE dagster FROM PUBLIC;
CREATE ROLE lake LOGIN PASSWORD :'lake_password';
CREATE DATABASE lake OWNER lake;
REVOKE CONNECT ON DATABASE lake FROM PUBLIC;
SQL
