#!/bin/sh
# PostgreSQL's image runs this once, while its volume is empty. It creates a database and a role for Dagster's history,
# and a database and a role for the lake's catalog. The catalog contains values of calls, so other roles may not connect.
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
