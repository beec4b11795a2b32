"""Generate the SQL that decodes a record of the API into a row, from the schema.

It runs on DuckDB's threads while Python continues to fetch. It is strict: a whole number may be `25` or `25.0`, also as
text, but words, fractions and numbers beyond 64 bits reject the record. (DuckDB's own cast would turn 1.7 into 2.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence

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


# Metrics read these fields, so their values must be JSON of these kinds, by the first character. An empty list is an
# empty object.
_JSON_KINDS = {"judge_results": "{", "executed_actions": "{[", "collected_variables": "{"}
_OPENING = {"{": "an object", "[": "a list"}


def _parsed(column: Column) -> str:
    """Return SQL for the field's text or JSON; NULL if it is absent or null, or `""` for anything but a text."""
    return _without_empty(column, f"r.{column.source}")


def _without_empty(column: Column, value: str) -> str:
    match column.kind:
        case Kind.JSON:
            return f"""CASE WHEN {value} NOT IN ('null', '""', '"null"') THEN {value} END"""
        case Kind.TEXT_LIST:
            return f"nullif({value}, 'null')"
        case Kind.TEXT:
            return value
        case _:
            return f"nullif({value}, '')"


def typed_from_extra(column: Column) -> str:
    """Return SQL for a column's value from `extra`, where fields land that have no column or could not be decoded."""
    name = quoted(str(column.source))
    arrow = "->" if column.kind in (Kind.JSON, Kind.TEXT_LIST) else "->>"
    value = _without_empty(column, f"(extra {arrow} {name})")
    is_no_text = f"json_type(extra -> {name}) IN ({', '.join(map(quoted, _other_kinds(column)))})"
    return _typed(column, value, is_no_text)


def _typed(column: Column, value: str, is_no_text: str) -> str:
    """Return SQL for a column's value; NULL if the field's value cannot be decoded.

    Args:
        column: the column.
        value: SQL for the field's text or JSON.
        is_no_text: an SQL condition for a text: the field's value is of another kind.
    """
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
        case Kind.JSON:
            return _typed_json(column, value)
        case Kind.TEXT:
            return _typed_text(column, value, is_no_text)
        case _:
            return value


def _typed_json(column: Column, value: str) -> str:
    """Return SQL for JSON of the kinds that the column needs. A text of such JSON is that JSON."""
    if column.name not in _JSON_KINDS:
        return value

    def is_needed(json: str) -> str:
        return " OR ".join(f"starts_with({json}, '{character}')" for character in _JSON_KINDS[column.name])

    # Extracted again, because a cast keeps the spaces of the text.
    inside = f"(TRY_CAST(({value} ->> '$') AS JSON) -> '$')"
    return (
        f"CASE WHEN {is_needed(value)} THEN {value} "
        f"WHEN {value} = '[]' THEN '{{}}'::JSON "
        f"WHEN starts_with({value}, '\"') THEN CASE WHEN {is_needed(inside)} THEN {inside} END END"
    )


def _typed_text(column: Column, value: str, is_no_text: str) -> str:
    """Return SQL for a text; NULL for another kind of value. A documented value in upper case becomes lower case."""
    as_sent = f"CASE WHEN {is_no_text} THEN NULL ELSE {value} END"
    if not column.values:
        return as_sent
    # `IN` with a long list becomes a join, which copies all columns.
    documented = sorted({one.replace("_", "-") for one in column.values if one.islower()})
    lower = f"lower({value})"
    return (
        f"CASE WHEN {value} <> {lower} AND list_contains({documented}, replace({lower}, '_', '-')) "
        f"THEN {lower} ELSE {as_sent} END"
    )


_TEXTS = tuple(column for column in CALL_FIELDS if column.kind is Kind.TEXT)
# Metrics group calls by these words. A reason may be a number, such as a SIP code, but no word may be a boolean.
_WORDS = ("call_status", "type_of_call")
_REASONS = ("end_call_reason", "telephony_disconnect_reason", "telephony_hangup")


def _other_kinds(column: Column) -> dict[str, str]:
    """Return the kinds of JSON values that a text may not be, by DuckDB's name."""
    structures = {"OBJECT": "an object", "ARRAY": "a list"}
    booleans = {"BOOLEAN": "a boolean"}
    numbers = dict.fromkeys(("BIGINT", "UBIGINT", "DOUBLE"), "a number")
    if column.name in _WORDS:
        return structures | booleans | numbers
    return structures | (booleans if column.name in _REASONS else {})


def _other_kinds_sql() -> str:
    """Return SQL for a list of the texts that are of another kind, such as `transcript is a list`; NULL if none is.

    Read as a text, an object begins with a brace, and a number with a digit. Only records with such a text are parsed
    again. Each field is named once, because DuckDB would parse all records for an expression that occurs twice.
    """
    may_be = [f"starts_with(r.{column.source}, '{brace}')" for column in _TEXTS for brace in "{["]
    may_be += [f"regexp_matches(r.{word}, '^[-0-9]')" for word in _WORDS]
    may_be += [f"r.{word} IN ('true', 'false')" for word in (*_WORDS, *_REASONS)]
    fields = ", ".join(
        f"{quoted(f'{column.source} is ')} || MAP {_other_kinds(column)}[json_type({_field_of_record(column)})]"
        for column in _TEXTS
    )
    is_any = " OR ".join(may_be)
    return f"CASE WHEN {is_any} THEN nullif(list_filter([{fields}], lambda field: field IS NOT NULL), []) END"


def _is_no_text(column: Column) -> str:
    """Return an SQL condition: the value of a field for a text is of another kind."""
    kinds = [quoted(f"{column.source} is {kind}") for kind in dict.fromkeys(_other_kinds(column).values())]
    return "coalesce(" + " OR ".join(f"list_contains(other_kinds, {kind})" for kind in kinds) + ", false)"


def _field_of_record(column: Column) -> str:
    return f"(record -> {quoted(str(column.source))})"


_STRICT_FIELDS = tuple(column for column in CALL_FIELDS if column.kind is not Kind.JSON or column.name in _JSON_KINDS)


def _is_invalid(column: Column) -> str:
    """Return an SQL condition: the field has a value that cannot be decoded."""
    if column.kind is Kind.TEXT:
        return _is_no_text(column)
    return f"({_parsed(column)} IS NOT NULL AND {column.name} IS NULL)"


def _any_invalid(columns: Sequence[Column]) -> str:
    """Return an SQL condition: at least one of the fields may have a value that cannot be decoded."""
    return " OR ".join(["other_kinds IS NOT NULL", *(_is_invalid(one) for one in columns if one.kind is not Kind.TEXT)])


# SQL for what is wrong with a value, without the value. `invalid` has its text, and the maximum of whole numbers.
_PROBLEM_OF_VALUE = """CASE
    WHEN regexp_full_match(invalid.value, '-0*[1-9][0-9]*([.][0-9]*)?') THEN 'negative'
    WHEN regexp_full_match(invalid.value, '[+-]?[0-9]+') THEN coalesce('larger than ' || invalid.maximum, 'an integer')
    WHEN regexp_full_match(invalid.value, '[+-]?[0-9]*[.][0-9]*(?:[eE][+-]?[0-9]+)?') THEN 'a fraction'
    WHEN invalid.value IN ('true', 'false') THEN 'a boolean'
    WHEN starts_with(invalid.value, '{') THEN 'an object'
    WHEN starts_with(invalid.value, '[') THEN 'a list'
    WHEN regexp_matches(invalid.value, '^[0-9]{4}-[0-9]{2}-[0-9]{2}') THEN 'a date-time'
    ELSE 'a text'
END"""


# If a field occurs twice, parsers differ in which value they read: msgspec while fetching, DuckDB while decoding.
_DUPLICATE_FIELD = "CASE WHEN NOT keys_are_unique THEN 'a field occurs twice' END"
ANOTHER_DAY = "start_time lies outside of the asked day"
_ON_ANOTHER_DAY = (
    f"CASE WHEN epoch_ms(start_time) < from_ms OR epoch_ms(start_time) >= to_ms THEN {quoted(ANOTHER_DAY)} END"
)


# If the entries were texts, no action would be found, and the metrics would change. The entries are read only if there
# are no actions, because that takes long.
_UNREADABLE_ACTIONS = """
    CASE WHEN len(actions) = 0 AND executed_actions NOT IN ('{}', '[]') AND len(list_filter(
        CASE WHEN starts_with(executed_actions, '[')
            THEN json_extract(executed_actions, '$[*]')
            ELSE json_extract(executed_actions, '$.*')
        END,
        lambda entry: json_type(entry) NOT IN ('OBJECT', 'NULL')
    )) > 0 THEN 'an entry of executed_actions is not an object' END
"""


def _expected(column: Column) -> str:
    """Return what a value of the column must be, for a reason."""
    match column.kind:
        case Kind.WHOLE_NUMBER:
            return f"a whole number from 0 to {column.maximum}"
        case Kind.JSON:
            return " or ".join(_OPENING[character] for character in _JSON_KINDS[column.name])
        case Kind.TEXT:
            return "a text"
        case _:
            return "a time"


def _reject_reason(column: Column) -> str | None:
    """Return SQL for the reason for which a field rejects its record, or NULL; None if no value is rejected."""
    cases = []
    if column in _STRICT_FIELDS and column.name in NEEDED_COLUMNS:
        cases.append(f"WHEN {_is_invalid(column)} THEN {quoted(f'{column.source} is not {_expected(column)}')}")
    if column.required:
        or_empty = f"OR trim({column.name}, E' \\t\\n\\r') = ''" if column.sql_type == Kind.TEXT.value else ""
        cases.append(f"WHEN {column.name} IS NULL {or_empty} THEN {quoted(f'{column.source} is missing')}")
    return f"CASE {' '.join(cases)} END" if cases else None


def _unread_sql() -> str:
    """Return SQL for a list of the fields that cannot be decoded, each with the kind of its value; NULL if all can."""
    columns = [column for column in _STRICT_FIELDS if column.kind is not Kind.TEXT]
    invalid = ", ".join(
        f"CASE WHEN {_is_invalid(column)} THEN {{'field': {quoted(str(column.source))}, "
        f"'value': CAST({_parsed(column)} AS VARCHAR), 'maximum': {column.maximum or 'NULL'}}} END"
        for column in columns
    )
    # One expression describes all values: with one for each field, DuckDB took a fifth longer to plan the query.
    described = (
        f"list_transform(list_filter([{invalid}], lambda invalid: invalid IS NOT NULL), "
        f"lambda invalid: invalid.field || ' is ' || {_PROBLEM_OF_VALUE})"
    )
    return f"CASE WHEN {_any_invalid(_STRICT_FIELDS)} THEN list_concat(other_kinds, {described}) END"


def _extra_sql() -> str:
    """Return SQL for `extra`: the unknown fields, and known fields that cannot be decoded and that no metric needs."""
    known = quoted(json.dumps(dict.fromkeys([*(str(column.source) for column in CALL_FIELDS), "model_id"])))
    unknown = f"CASE WHEN NOT keys_are_known THEN json_merge_patch(record, {known}) END"
    lenient = [column for column in _STRICT_FIELDS if column.name not in NEEDED_COLUMNS]
    values = ", ".join(
        f"{quoted(str(column.source))}, CASE WHEN {_is_invalid(column)} THEN {_invalid_value(column)} END"
        for column in lenient
    )
    # A merge patch ignores the members that are null.
    noted = f"json_merge_patch(coalesce({unknown}, '{{}}'), json_object({values}))"
    return f"CASE WHEN {_any_invalid(lenient)} THEN nullif({noted}, '{{}}') ELSE {unknown} END"


def _invalid_value(column: Column) -> str:
    """Return SQL for a value that cannot be decoded, for `extra`: an object stays an object."""
    return _field_of_record(column) if column.kind is Kind.TEXT else _parsed(column)


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
    typed = ",\n".join(
        f"        {_typed(column, _parsed(column), _is_no_text(column))} AS {column.name}" for column in CALL_FIELDS
    )
    reasons = ", ".join(
        filter(None, (*map(_reject_reason, CALL_FIELDS), _UNREADABLE_ACTIONS, _DUPLICATE_FIELD, _ON_ANOTHER_DAY))
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
shaped AS (
    SELECT *, {_other_kinds_sql()} AS other_kinds
    FROM parsed
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
        keys_are_known,
        other_kinds
    FROM shaped
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
