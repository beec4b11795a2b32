"""Generate the SQL that decodes a record of the API into a row, from the schema.

It runs on DuckDB's threads while Python continues to fetch. It is strict: a whole number may be `25` or `25.0`, also as
text, but words, fractions and numbers beyond 64 bits reject the record. (DuckDB's own cast would turn 1.7 into 2.)
"""

from __future__ import annotations

import json

from synthflow_assets.warehouse.personal import EMPTY, SuppressionList, private_sql
from synthflow_assets.warehouse.schema import CALL_FIELDS, CALLS, NEEDED_COLUMNS, OPEN_STATUSES
from synthflow_assets.warehouse.statements import quoted, sql_file
from synthflow_assets.warehouse.tables import Column, Kind

_INTEGER = "[+-]?[0-9]{1,19}"
_ACTION_FIELDS = (
    "name",
    "action_type",
    "error_message",
    "return_value",
    "return_value_status",
    "parameters_hard_coded",
    "timestamp",
    "timestamp_datetime",
)
_MAX_EPOCH_MS = 253_402_300_799_999  # the end of the year 9999
# A number of this size is a time from 2000 to 2100 in epoch seconds. As milliseconds, it would be a day in January or
# February 1970.
EPOCH_SECONDS = range(946_684_800, 4_102_444_800)


def _parsed(column: Column) -> str:
    """Return SQL for the field's text or JSON; NULL if it is absent or null, or `""` for a number or time."""
    return _without_empty(column, f"r.{column.source}")


def _without_empty(column: Column, value: str) -> str:
    match column.kind:
        case Kind.JSON | Kind.TEXT_LIST:
            return f"nullif({value}, 'null')"
        case Kind.TEXT:
            return value
        case _:
            return f"nullif({value}, '')"


def typed_from_extra(column: Column) -> str:
    """Return SQL for a column's value from `extra`, where fields land that have no column or could not be decoded."""
    arrow = "->" if column.kind in (Kind.JSON, Kind.TEXT_LIST) else "->>"
    return _typed(column, _without_empty(column, f"(extra {arrow} {quoted(str(column.source))})"))


def _typed(column: Column, value: str) -> str:
    """Return SQL for a column's value; NULL if the field's value cannot be decoded."""
    # 25.0 is 25, also as text.
    whole = f"TRY_CAST(regexp_extract({value}, '^({_INTEGER})(?:[.]0+)?$', 1) AS BIGINT)"
    match column.kind:
        case Kind.WHOLE_NUMBER:
            return f"CASE WHEN {whole} BETWEEN 0 AND {column.maximum} THEN {whole} END"
        case Kind.EPOCH_MS | Kind.TIMESTAMP:
            # The start decides the day, so a date without a time does not suffice.
            has_time = "[T ][0-9]{2}:" if column.kind is Kind.EPOCH_MS else ""
            date_time = f"TRY_CAST({value} AS TIMESTAMPTZ)"
            return (
                f"CASE WHEN {whole} BETWEEN {EPOCH_SECONDS.start} AND {EPOCH_SECONDS.stop - 1} "
                f"THEN make_timestamptz(({whole}) * 1000000) "
                f"WHEN {whole} BETWEEN 0 AND {_MAX_EPOCH_MS} THEN make_timestamptz(({whole}) * 1000) "
                f"WHEN regexp_matches({value}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{has_time}') THEN {date_time} END"
            )
        case Kind.TEXT_LIST:
            return f"CASE WHEN json_type({value}) = 'ARRAY' THEN CAST({value} AS VARCHAR[]) END"
        case _:
            return value


_STRICT_FIELDS = tuple(column for column in CALL_FIELDS if column.kind not in (Kind.TEXT, Kind.JSON))


def _is_invalid(column: Column) -> str:
    """Return an SQL condition: the field has a value that cannot be decoded."""
    return f"({_parsed(column)} IS NOT NULL AND {column.name} IS NULL)"


def _kind_of_value(value: str) -> str:
    """Return SQL that names the kind of a value, without the value."""
    return f"""CASE
        WHEN regexp_full_match({value}, '[+-]?[0-9]+') THEN 'an integer'
        WHEN regexp_full_match({value}, '[+-]?[0-9]*[.][0-9]*(?:[eE][+-]?[0-9]+)?') THEN 'a fraction'
        WHEN {value} IN ('true', 'false') THEN 'a boolean'
        WHEN starts_with({value}, '{{') THEN 'an object'
        WHEN starts_with({value}, '[') THEN 'a list'
        WHEN regexp_matches({value}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') THEN 'a date-time'
        ELSE 'a text'
    END"""


# If a field occurs twice, parsers differ in which value they read: msgspec while fetching, DuckDB while decoding.
_DUPLICATE_FIELD = "CASE WHEN NOT keys_are_unique THEN 'a field occurs twice' END"
ANOTHER_DAY = "start_time lies outside of the asked day"
_ON_ANOTHER_DAY = (
    f"CASE WHEN epoch_ms(start_time) < from_ms OR epoch_ms(start_time) >= to_ms THEN {quoted(ANOTHER_DAY)} END"
)


def _reject_reason(column: Column) -> str | None:
    """Return SQL for the reason for which a field rejects its record, or NULL; None if no value is rejected."""
    cases = []
    if column in _STRICT_FIELDS and column.name in NEEDED_COLUMNS:
        is_number = column.kind is Kind.WHOLE_NUMBER
        expected = f"is not a whole number from 0 to {column.maximum}" if is_number else "is not a time"
        cases.append(f"WHEN {_is_invalid(column)} THEN {quoted(f'{column.source} {expected}')}")
    if column.required:
        or_empty = f"OR trim({column.name}, E' \\t\\n\\r') = ''" if column.sql_type == Kind.TEXT.value else ""
        cases.append(f"WHEN {column.name} IS NULL {or_empty} THEN {quoted(f'{column.source} is missing')}")
    return f"CASE {' '.join(cases)} END" if cases else None


def _unread_sql() -> str:
    """Return SQL for a list of the fields that cannot be decoded, each with the kind of its value; NULL if all can."""
    fields = [
        f"CASE WHEN {_is_invalid(column)} "
        f"THEN {quoted(f'{column.source} is ')} || {_kind_of_value(_parsed(column))} END"
        for column in _STRICT_FIELDS
    ]
    any_invalid = " OR ".join(map(_is_invalid, _STRICT_FIELDS))
    return f"CASE WHEN {any_invalid} THEN list_filter([{', '.join(fields)}], lambda field: field IS NOT NULL) END"


def _extra_sql() -> str:
    """Return SQL for `extra`: the unknown fields, and known fields that cannot be decoded and that no metric needs."""
    known = quoted(json.dumps(dict.fromkeys([*(str(column.source) for column in CALL_FIELDS), "model_id"])))
    unknown = f"CASE WHEN NOT keys_are_known THEN json_merge_patch(record, {known}) END"
    lenient = [column for column in _STRICT_FIELDS if column.name not in NEEDED_COLUMNS]
    any_invalid = " OR ".join(map(_is_invalid, lenient))
    values = ", ".join(
        f"{quoted(str(column.source))}, CASE WHEN {_is_invalid(column)} THEN {_parsed(column)} END"
        for column in lenient
    )
    # A merge patch ignores the members that are null.
    noted = f"json_merge_patch(coalesce({unknown}, '{{}}'), json_object({values}))"
    return f"CASE WHEN {any_invalid} THEN {noted} ELSE {unknown} END"


def derived_columns_sql(source: str) -> str:
    """Return SQL that adds `DERIVED_COLUMNS` to a relation.

    Args:
        source: name of a relation with the columns of `calls` that they are derived from; its other columns stay.
    """
    parts = {
        "{source}": source,
        "{action}": f"STRUCT({', '.join(f'{field} VARCHAR' for field in _ACTION_FIELDS)})",
        "{open_statuses}": ", ".join(map(quoted, OPEN_STATUSES)),
    }
    query = sql_file("synthflow_assets.warehouse.sql", "derived_columns.sql")
    for name, text in parts.items():
        query = query.replace(name, text)
    return query


def decode_sql(source: str, pii: str, hash_key: str = "", suppressed: SuppressionList = EMPTY) -> str:
    """Return SQL that decodes the records of a relation.

    Args:
        source: name of a relation with the columns `day DATE`, `model_id VARCHAR`, `record VARCHAR` (JSON text), and
            `from_ms` and `to_ms BIGINT`, the bounds of the day in epoch milliseconds; NULL for no bounds.
        pii: keep, hash or drop.
        hash_key: for hash.
        suppressed: people whose personal data is dropped for any `pii`.

    Returns:
        A query with the columns of `calls` except `loaded_at`, and `reason`, `record`, `filled` and `unread`. If
        `reason` is not NULL, the record is rejected. `filled` is a list of booleans, one for each of `CALL_FIELDS`: the
        record has a value in this field. `unread` names the fields that cannot be decoded, such as `duration is a
        fraction`; NULL if there are none.
    """
    shape = {
        str(column.source): "JSON" if column.kind in (Kind.JSON, Kind.TEXT_LIST) else "VARCHAR"
        for column in CALL_FIELDS
    }
    # The record's own model_id is not read: `api` has already skipped the records of other agents.
    known_names = ", ".join(quoted(name) for name in [*shape, "model_id"])
    typed = ",\n".join(f"        {_typed(column, _parsed(column))} AS {column.name}" for column in CALL_FIELDS)
    reasons = ", ".join(
        filter(None, (*(_reject_reason(column) for column in CALL_FIELDS), _DUPLICATE_FIELD, _ON_ANOTHER_DAY))
    )
    decoded = [column for column in CALLS.columns if column.name != "loaded_at"]
    columns = ",\n    ".join(private_sql(column, pii, hash_key) for column in decoded)
    filled = ", ".join(f"{column.name} IS NOT NULL" for column in CALL_FIELDS)
    are_known, are_unique = f"list_has_all([{known_names}], keys)", "list_unique(keys) = len(keys)"
    # Nearly all records have the fields of the first one, so only the fields of the others are checked one by one.
    # Comparing two lists takes a tenth of the time of the check.
    return f"""
WITH first_record AS (
    SELECT keys AS first_keys, {are_known} AS first_are_known, {are_unique} AS first_are_unique
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
        CASE WHEN keys = first_keys THEN first_are_known ELSE {are_known} END AS keys_are_known,
        CASE WHEN keys = first_keys THEN first_are_unique ELSE {are_unique} END AS keys_are_unique,
        from_json(record, {quoted(json.dumps(shape))}) AS r
    FROM keyed, first_record
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
        NULL::DATE AS listed_day,
        keys_are_known
    FROM parsed
),
derived AS (
{derived_columns_sql("typed")}
),
judged AS (
    SELECT
        *,
        {_extra_sql()} AS extra,
        nullif(concat_ws('; ', {reasons}), '') AS reason,
        {_unread_sql()} AS unread,
        [{filled}] AS filled,
        coalesce({suppressed.sql()}, false) AS is_suppressed
    FROM derived
)
SELECT
    {columns},
    reason,
    CASE WHEN reason IS NOT NULL AND NOT is_suppressed THEN {"record" if pii == "keep" else "NULL::VARCHAR"} END
        AS record,
    filled,
    unread
FROM judged
"""
