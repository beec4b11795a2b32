"""The one way from a record of the API to a row: SQL that follows from the schema.

It runs on DuckDB's own threads, so that Python goes on fetching meanwhile, and it is strict: where a whole number
is expected, `25` and `"25"` are taken, but words, fractions and numbers beyond 64 bits reject the record. (DuckDB's
own cast would take 1.7 for 2.)
"""

from __future__ import annotations

import json

from synthflow_assets.warehouse.personal import EMPTY, SuppressionList, private_sql
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS, OPEN_STATUSES
from synthflow_assets.warehouse.statements import quoted
from synthflow_assets.warehouse.tables import Column, Kind

_WHOLE_NUMBER = "[+-]?[0-9]{1,19}"
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, well within the range of TIMESTAMP


def _parsed(column: Column) -> str:
    """The field as the record holds it: text, or JSON; NULL where it is absent or null."""
    return _without_null(column, f"r.{column.source}")


def _without_null(column: Column, value: str) -> str:
    return f"nullif({value}, 'null')" if column.kind in (Kind.JSON, Kind.TEXT_LIST) else value


def typed_from_extra(column: Column) -> str:
    """The value of a column, read from `extra`, where it landed before it had a column of its own."""
    arrow = "->" if column.kind in (Kind.JSON, Kind.TEXT_LIST) else "->>"
    return _typed(column, _without_null(column, f"(extra {arrow} {quoted(str(column.source))})"))


def _typed(column: Column, value: str) -> str:
    """The value of a column, NULL where the field, given as SQL, cannot be typed."""
    whole = f"CASE WHEN regexp_full_match({value}, '{_WHOLE_NUMBER}') THEN TRY_CAST({value} AS BIGINT) END"
    match column.kind:
        case Kind.WHOLE_NUMBER:
            return f"CASE WHEN {whole} BETWEEN 0 AND {column.maximum} THEN {whole} END"
        case Kind.EPOCH_MS:
            return f"CASE WHEN {whole} BETWEEN 0 AND {_LATEST_MS} THEN make_timestamptz(({whole}) * 1000) END"
        case Kind.TIMESTAMP:
            moment = f"TRY_CAST({value} AS TIMESTAMPTZ)"
            return f"CASE WHEN isfinite({moment}) THEN {moment} END"  # "infinity" is a date-time to DuckDB
        case Kind.TEXT_LIST:
            return f"CASE WHEN json_type({value}) = 'ARRAY' THEN CAST({value} AS VARCHAR[]) END"
        case _:
            return value


_EXPECTED = {
    Kind.EPOCH_MS: "is not a time in epoch milliseconds",
    Kind.TIMESTAMP: "is not a date-time",
    Kind.TEXT_LIST: "is not a list",
}


# Parsers differ in which of the two they take; one of them decides what is fetched, the other what lands.
_TWICE = "CASE WHEN NOT keys_are_unique THEN 'a field occurs twice' END"
ANOTHER_DAY = "start_time lies outside of the asked day"
_ON_ANOTHER_DAY = (
    f"CASE WHEN epoch_ms(start_time) < from_ms OR epoch_ms(start_time) >= to_ms THEN {quoted(ANOTHER_DAY)} END"
)


def _complaint(column: Column) -> str | None:
    """SQL for what is wrong with a field, NULL where nothing is; None where nothing can be."""
    cases = []
    if column.kind in _EXPECTED or column.kind is Kind.WHOLE_NUMBER:
        wrong = f"{_parsed(column)} IS NOT NULL AND {column.name} IS NULL"
        expected = _EXPECTED.get(column.kind, f"is not a whole number from 0 to {column.maximum}")
        cases.append(f"WHEN {wrong} THEN {quoted(f'{column.source} {expected}')}")
    if column.required:
        empty = f"OR {column.name} = ''" if column.sql_type == Kind.TEXT.value else ""
        cases.append(f"WHEN {column.name} IS NULL {empty} THEN {quoted(f'{column.source} is missing')}")
    return f"CASE {' '.join(cases)} END" if cases else None


def decode_sql(source: str, pii: str, hash_key: str = "", forgotten: SuppressionList = EMPTY) -> str:
    """SQL that types the records of a relation.

    Args:
        source: name of a relation with the columns `day DATE`, `model_id VARCHAR`, `record VARCHAR` (JSON text), and
            `from_ms` and `to_ms BIGINT`, the bounds of the day; NULL where they do not matter.
        pii: keep, hash or drop.
        hash_key: for hash.
        forgotten: whose personal data is left out whatever `pii` says.

    Returns:
        A query with the columns of `calls` but `loaded_at`, and `reason`, `record`, `is_open` and `filled`. Where
        `reason` is not NULL the record is to be rejected. The bits of `filled` say which of `CALL_FIELDS` came.
    """
    shape = {
        str(column.source): "JSON" if column.kind in (Kind.JSON, Kind.TEXT_LIST) else "VARCHAR"
        for column in CALL_FIELDS
    }
    # model_id is the agent that was asked for; the record's own is the same, or it was left out before.
    known = json.dumps(dict.fromkeys([*shape, "model_id"]))
    known_names = ", ".join(quoted(name) for name in [*shape, "model_id"])
    typed = ",\n".join(f"        {_typed(column, _parsed(column))} AS {column.name}" for column in CALL_FIELDS)
    complaints = ", ".join(filter(None, (*(_complaint(column) for column in CALL_FIELDS), _TWICE, _ON_ANOTHER_DAY)))
    decoded = [column for column in CALLS.columns if column.name != "loaded_at"]
    columns = ",\n    ".join(private_sql(column, pii, hash_key) for column in decoded)
    filled = ", ".join(f"{column.name} IS NOT NULL" for column in CALL_FIELDS)
    is_open = ", ".join(quoted(status) for status in OPEN_STATUSES)
    are_known, are_unique = f"list_has_all([{known_names}], keys)", "list_unique(keys) = len(keys)"
    # Nearly all records have the same fields, so the fields of one are judged for all that equal it: comparing two
    # lists takes a tenth of the time of searching one.
    return f"""
WITH usual AS (
    SELECT keys AS usual_keys, {are_known} AS usual_are_known, {are_unique} AS usual_are_unique
    FROM (SELECT json_keys(record) AS keys FROM {source} LIMIT 1)
),
keyed AS (
    SELECT *, json_keys(record) AS keys FROM {source}
),
parsed AS (
    SELECT
        day,
        model_id,
        record,
        from_ms,
        to_ms,
        CASE WHEN keys = usual_keys THEN usual_are_known ELSE {are_known} END AS keys_are_known,
        CASE WHEN keys = usual_keys THEN usual_are_unique ELSE {are_unique} END AS keys_are_unique,
        from_json(record, {quoted(json.dumps(shape))}) AS r
    FROM keyed, usual
),
typed AS (
    SELECT
        day,
        model_id,
        record,
        from_ms,
        to_ms,
        keys_are_unique,
        r,
{typed},
        CASE
            WHEN NOT keys_are_known THEN json_merge_patch(record, {quoted(known)})
        END AS extra
    FROM parsed
),
judged AS (
    SELECT
        *,
        nullif(concat_ws('; ', {complaints}), '') AS reason,
        [{filled}] AS filled,
        coalesce({forgotten.sql()}, false) AS is_forgotten
    FROM typed
)
SELECT
    {columns},
    reason,
    CASE WHEN reason IS NOT NULL AND NOT is_forgotten THEN {"record" if pii == "keep" else "NULL::VARCHAR"} END
        AS record,
    coalesce(trim(call_status) IN ({is_open}), false) AS is_open,
    filled
FROM judged
"""
