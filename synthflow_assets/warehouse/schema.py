"""Define every table and column: type, unit, meaning, source, and whether it holds personal data.

These definitions determine the DDL, how records are decoded, how personal data is treated, and the column
descriptions in Dagster and in the docs. The fields are those of the public reference of "List calls"
(https://docs.synthflow.ai/api-reference/platform-api/calls/list-calls), and further fields of the live API.
"""

from __future__ import annotations

from synthflow_assets.warehouse.metric_tables import CONNECTED_STATUSES, METRIC_TABLES, spellings
from synthflow_assets.warehouse.metric_views import METRIC_MACROS, METRIC_VIEWS
from synthflow_assets.warehouse.tables import DAY, MODEL_ID, Column, Kind, Table, View

# Raise it with every change of tables, columns, views or macros. A file made by a later version is refused.
SCHEMA_VERSION = 8
FINAL_AFTER_DAYS = 2  # after its start, an open call counts as ended, because Synthflow never closes it


def _field(
    source: str,
    kind: Kind,
    description: str,
    *,
    name: str | None = None,
    unit: str | None = None,
    required: bool = False,
    personal: bool = False,
    phone: bool = False,
    maximum: int | None = None,
    values: tuple[str, ...] = (),
) -> Column:
    sql_type = Kind.TIMESTAMP.value if kind is Kind.EPOCH_MS else kind.value
    return Column(
        name or source, sql_type, description, unit, required, source, kind, personal or phone, phone, maximum, values
    )


_YEAR_SECONDS = 366 * 86_400

_LOADED_AT = Column("loaded_at", "TIMESTAMPTZ", "When the row was written.", required=True)

# Calls that have not ended: their duration and end are not known yet.
OPEN_STATUSES = spellings("pending", "ringing", "in-progress", "queue", "initiated", "checking", "paused", "registered")
_CLOSED_STATUSES = ("no-answer", "busy", "failed", "canceled", "user-canceled", "spam")

# Derived from the JSON and the texts of a call by `sql/derived_columns.sql`, before personal data is treated. They do
# not contain what a person said, so they are the same for every SYNTHFLOW_PII, except for `caller_key`.
DERIVED_COLUMNS = (
    Column(
        "caller_key",
        "VARCHAR",
        "Identifies the caller: the digits of the other side's phone number, without the prefix `+` or `00`. The other "
        "side is the called number of an `outbound` call and the calling number of an `inbound` call. For other calls, "
        "or if that number is not usable, it is the lead's number. NULL if the number is withheld, is the agent's own, "
        "or does not have 7 to 15 digits.",
        personal=True,
        phone=True,
    ),
    Column(
        "call_outcome",
        "VARCHAR",
        "Outcome of the call: `person_reached`, `voicemail`, `no_answer`, `busy`, `failed`, `canceled`, `open` or "
        "`other`. A `completed` call is `voicemail` if its `end_call_reason` begins with `voicemail`, else "
        "`person_reached`.",
        required=True,
    ),
    Column(
        "telephony_error_code",
        "VARCHAR",
        "SIP code in `error_message`, such as `404` of `Telephony - 404 - Not Found`; NULL without one.",
    ),
    Column("human_turns", "BIGINT", "Transcript lines that begin with `human:`; NULL without a transcript.", "lines"),
    Column(
        "agent_turns",
        "BIGINT",
        "Transcript lines that begin with `bot:` or `assistant:`; NULL without a transcript.",
        "lines",
    ),
    Column(
        "judge_verdicts",
        "MAP(VARCHAR, VARCHAR)",
        "Verdict of each check in `judge_results`: `true`, `partial`, `false`, `not_applicable`, a score below 1,000, "
        "or `other` for any other text. Without explanations, aggregates and empty verdicts.",
    ),
    Column("judge_found_full_error", "BOOLEAN", "The judge found an error in at least one check."),
    Column(
        "judge_found_partial_or_error", "BOOLEAN", "The judge found an error or a partial error in at least one check."
    ),
    Column(
        "actions",
        'STRUCT("name" VARCHAR, action_type VARCHAR, failed BOOLEAN, status VARCHAR, failed_reason VARCHAR, '
        '"at" TIMESTAMPTZ, human_connected_at TIMESTAMPTZ)[]',
        "Actions in `executed_actions`. `failed` is true if the action reports an error in any form. `status` and "
        "`failed_reason` belong to transfers only; `other` replaces a text that is not a plain code.",
    ),
    Column(
        "variables",
        'STRUCT("name" VARCHAR, source VARCHAR, collected BOOLEAN)[]',
        "Variables that the agent asked for. `source` is `variable` (in `collected_variables`) or `extractor` (in "
        "`executed_actions`); `collected` is true if the variable has a value.",
    ),
)

CALLS = Table(
    "calls",
    "Every call, with all fields that the API lists.",
    ("call_id",),
    (
        DAY,
        MODEL_ID,
        _field("call_id", Kind.TEXT, "Id of the call; unique.", required=True),
        _field("start_time", Kind.EPOCH_MS, "When the call started.", required=True),
        _field(
            "duration",
            Kind.WHOLE_NUMBER,
            "Length of the call, ringing and delay included.",
            name="duration_seconds",
            unit="seconds",
            maximum=_YEAR_SECONDS,
        ),
        _field(
            "call_status",
            Kind.TEXT,
            "Status of the call: its state, or its result.",
            values=OPEN_STATUSES + CONNECTED_STATUSES + _CLOSED_STATUSES,
        ),
        _field(
            "type_of_call",
            Kind.TEXT,
            "Direction of the call.",
            values=("inbound", "outbound", "widget", "chat", "test"),
        ),
        _field(
            "end_call_reason",
            Kind.TEXT,
            "Why the conversation ended.",
            values=(
                "human_pick_up_cut_off",
                "human_hangup",
                "human_ended_call",
                "human_goodbye",
                "user_disconnected",
                "user_canceled",
                "agent_ended_call",
                "agent_goodbye",
                "goodbye_detected",
                "custom_end_call",
                "voicemail",
                "voicemail_cut_off",
                "voicemail_message_left",
                "timeout",
                "max_duration",
                "idle_time_exceeded",
                "error",
                "undefined",
                # The help center calls these reasons as well.
                "Insufficient Minutes",
                "608: Rejected",
                "487: Request Terminated",
            ),
        ),
        _field(
            "telephony_disconnect_reason",
            Kind.TEXT,
            "Why the line was cut, as the telephony layer reports it.",
            values=("unknown", "callee_hangup", "caller_hangup", "error", "forbidden"),
        ),
        _field("telephony_hangup", Kind.TEXT, "Who hung up.", values=("caller", "callee", "agent")),
        _field(
            "telephony_duration",
            Kind.WHOLE_NUMBER,
            "Length of the connection.",
            name="telephony_duration_ms",
            unit="milliseconds",
            maximum=_YEAR_SECONDS * 1000,
        ),
        _field(
            "telephony_ringing_duration",
            Kind.WHOLE_NUMBER,
            "Length of the ringing; not in the API reference.",
            name="telephony_ringing_duration_ms",
            unit="milliseconds",
            maximum=_YEAR_SECONDS * 1000,
        ),
        _field("telephony_start", Kind.TIMESTAMP, "When the line was connected."),
        _field("telephony_end", Kind.TIMESTAMP, "When the line was cut."),
        _field("lead_phone_number", Kind.TEXT, "Phone number of the person called or calling.", phone=True),
        _field("lead_name", Kind.TEXT, "Name of the lead.", personal=True),
        _field("name", Kind.TEXT, "Name of the recipient.", personal=True),
        _field("phone_number_from", Kind.TEXT, "Number that called.", phone=True),
        _field("phone_number_to", Kind.TEXT, "Number that was called.", phone=True),
        _field("agent_phone_number", Kind.TEXT, "Number that the agent used.", phone=True),
        _field("transcript", Kind.TEXT, "The conversation; lines begin with `bot:` or `human:`.", personal=True),
        _field(
            "recording_url", Kind.TEXT, "Address of the recording; the API drops it in January 2027.", personal=True
        ),
        _field(
            "recording_duration", Kind.TEXT, "Length of the recording, as the API sends it; the unit is not documented."
        ),
        _field("error_message", Kind.TEXT, "Error message of a failed call.", personal=True),
        _field("agents_used", Kind.TEXT_LIST, "Agents that took part."),
        _field("labels", Kind.TEXT_LIST, "Labels of the call."),
        _field("judge_results", Kind.JSON, "Verdicts of the judge, check by check.", personal=True),
        _field("executed_actions", Kind.JSON, "Actions that ran, by name.", personal=True),
        _field(
            "collected_variables",
            Kind.JSON,
            "What the agent asked for and what it got, by agent and variable.",
            personal=True,
        ),
        _field("telephony_sip_headers", Kind.JSON, "SIP headers; not in the API reference.", personal=True),
        _field("assistant_version", Kind.TEXT, "Version of the agent; not in the API reference."),
        _field("campaign_type", Kind.TEXT, "Type of the campaign that the call belongs to."),
        _field("deployment_type", Kind.TEXT, "How the agent was deployed."),
        _field("timezone", Kind.TEXT, "Time zone of the call, as the API sends it."),
        *DERIVED_COLUMNS,
        Column(
            "listed_day",
            "DATE",
            "Day that the API listed the call for, if the call starts on another day; else NULL.",
        ),
        Column("extra", "JSON", "Fields that this version of the package does not know.", personal=True),
        _LOADED_AT,
    ),
)

CALL_REJECTS = Table(
    "call_rejects",
    "Records that could not be decoded, with the reason. If the call landed before, that version stays in `calls`.",
    ("day", "model_id", "record"),
    (
        DAY,
        MODEL_ID,
        Column("reason", "VARCHAR", "What is wrong with the record, without its content.", required=True),
        Column(
            "record",
            "VARCHAR",
            "The record as the API sent it; NULL if SYNTHFLOW_PII is not `keep`, or after an erasure.",
            personal=True,
        ),
        _LOADED_AT,
    ),
)

CALL_LOADS = Table(
    "call_loads",
    "The last load of each day of each agent. A day without calls has a row too.",
    ("day", "model_id"),
    (
        DAY,
        MODEL_ID,
        Column(
            "total_records",
            "BIGINT",
            "Distinct calls in the window, margin included, as the API states.",
            "calls",
        ),
        Column(
            "fetched",
            "BIGINT",
            "Distinct calls that were fetched for the window, or that start on this day but were listed for another.",
            "calls",
        ),
        Column("landed", "BIGINT", "Rows written to `calls`.", "calls"),
        Column("rejected", "BIGINT", "Rejected calls that are not in `calls`.", "calls"),
        Column("duplicates", "BIGINT", "Calls that were received again, from overlaps and repeated pages.", "calls"),
        Column("outside_window", "BIGINT", "Calls that were listed for this day, but start on another.", "calls"),
        Column("other_model", "BIGINT", "Calls of another agent, which were left out.", "calls"),
        Column(
            "open_calls",
            "BIGINT",
            "Landed calls that had not ended. A call whose status is not documented counts if `telephony_end`, "
            "`end_call_reason`, `telephony_disconnect_reason` and `telephony_hangup` are all empty.",
            "calls",
        ),
        Column("requests", "BIGINT", "Requests that were sent.", "requests"),
        Column("fields", "MAP(VARCHAR, BIGINT)", "Number of landed calls that had each field of the API.", "calls"),
        Column(
            "settled",
            "BOOLEAN",
            "Whether the window had passed and no call was open, so the day need not be fetched again. A call that is "
            f"open {FINAL_AFTER_DAYS} days after its start counts as ended.",
        ),
        Column(
            "fetched_until",
            "TIMESTAMPTZ",
            "If the day was not over when it was fetched: the moment of the fetch, by the earlier of this machine's "
            "clock and the API's. Calls after it are not in `calls` yet.",
        ),
        Column("run_id", "VARCHAR", "Id of the Dagster run that fetched it."),
        _LOADED_AT,
    ),
)

AGENTS = Table(
    "agents",
    "The agents of the workspace, without their prompts.",
    ("model_id",),
    (
        Column("model_id", "VARCHAR", "Id of the agent.", required=True),
        Column("name", "VARCHAR", "Name of the agent."),
        Column("type", "VARCHAR", "Type of the agent."),
        _LOADED_AT,
    ),
)


CALL_RECORDINGS = Table(
    "call_recordings",
    "Recordings of connected calls: stored, being downloaded, or requested without result.",
    ("call_id",),
    (
        DAY,
        MODEL_ID,
        Column("call_id", "VARCHAR", "Id of the call.", required=True),
        Column(
            "location",
            "VARCHAR",
            "Location of the audio file; NULL if the call has no recording. While the file is being downloaded, the "
            "location lacks the ending.",
        ),
        Column("content_type", "VARCHAR", "Media type of the audio."),
        Column("size_bytes", "BIGINT", "Size of the audio.", "bytes"),
        Column("sha256", "VARCHAR", "SHA-256 of the audio, in hexadecimal; NULL until the file is complete."),
        Column(
            "requests",
            "BIGINT",
            "Number of runs that requested the recording and got a response. After 10 responses without audio, it is "
            "not requested again.",
            "runs",
        ),
        _LOADED_AT,
    ),
)

METRIC_COMPUTATIONS = Table(
    "metric_computations",
    "The load from which each day of each metric table was computed. With it, `no_gaps` finds metrics that are older "
    "than their calls.",
    ("day", "metric"),
    (
        DAY,
        Column("metric", "VARCHAR", "Name of the metric table.", required=True),
        # Not compared with the time of the computation: the clocks of two machines may differ, and a landing that
        # waits for its commit has an earlier time.
        Column(
            "calls_loaded_at",
            "TIMESTAMPTZ",
            "The latest `loaded_at` of the day in `call_loads` when the metric was computed.",
            required=True,
        ),
        Column(
            "computed_at",
            "TIMESTAMPTZ",
            "When the rows were computed. If calls of other days do not change the rows, the time stays the same.",
            required=True,
        ),
    ),
)

EXPORTS = Table(
    "exports",
    "The rows from which each export was written. The package uses it to find outdated exports.",
    ("folder", "table_name", "day"),
    (
        Column("folder", "VARCHAR", "Folder or bucket of the exports.", required=True),
        Column("table_name", "VARCHAR", "Name of the exported table.", required=True),
        DAY,
        # Not compared with the time of the file: a bucket has another clock, and needs a request for each file.
        Column(
            "written_at",
            "TIMESTAMPTZ",
            "When the day's rows in the table had last changed; NULL if a backup replaced them.",
        ),
        Column("exported_at", "TIMESTAMPTZ", "When the export was written.", required=True),
    ),
)

FORGOTTEN = Table(
    "forgotten",
    "The suppression list: phone numbers of erased persons, as salted hashes. Later fetches drop their data.",
    ("phone_hash",),
    (
        Column("phone_hash", "VARCHAR", "SHA-256 of salt and digits, in hexadecimal.", required=True),
        Column("salt", "VARCHAR", "Random text, the same for all rows of a warehouse.", required=True),
        Column("forgotten_at", "TIMESTAMPTZ", "When the person was erased.", required=True),
        Column(
            "rewritten_at",
            "TIMESTAMPTZ",
            "When the storage was rewritten without the old bytes; NULL if that is still to be done.",
        ),
    ),
)

VERSION = Table(
    "schema_version",
    "The version of the tables, in one row.",
    ("version",),
    (Column("version", "BIGINT", "SCHEMA_VERSION of the package that last changed the tables.", required=True),),
)


_CALL_ID = Column("call_id", "VARCHAR", "Id of the call.")


def _typed(name: str, sql_type: str, description: str, source: str) -> Column:
    return Column(name, sql_type, description, sources=(source,))


def _kept(name: str, sql_type: str, description: str, *sources: str) -> Column:
    """Return a column with personal data, which is NULL unless SYNTHFLOW_PII is `keep`."""
    return Column(name, sql_type, f"{description} NULL unless SYNTHFLOW_PII is `keep`.", personal=True, sources=sources)


CALL_VIEWS = (
    View(
        "call_actions",
        "Executed actions, one row each. JSON that the API sends as text is JSON here.",
        (
            DAY,
            MODEL_ID,
            _CALL_ID,
            _typed("name", "VARCHAR", "Name of the action.", "actions"),
            _typed("action_type", "VARCHAR", "Type of the action.", "actions"),
            _typed("executed_at", "TIMESTAMPTZ", "When it ran.", "actions"),
            _typed("failed", "BOOLEAN", "Whether the action reports a failure in any way.", "actions"),
            _typed("status", "VARCHAR", "Status of a transfer, as the API reports it.", "actions"),
            _typed("failed_reason", "VARCHAR", "Why a transfer failed.", "actions"),
            _typed("human_connected_at", "TIMESTAMPTZ", "When a human answered a transfer.", "actions"),
            _kept("return_value", "JSON", "What it returned.", "executed_actions"),
            _kept("return_value_status", "VARCHAR", "Status that the action returned.", "executed_actions"),
            _kept("parameters_from_llm", "JSON", "Parameters that the agent chose.", "executed_actions"),
            _kept("parameters_hard_coded", "JSON", "Parameters that the agent's owner set.", "executed_actions"),
            _kept("action", "JSON", "The whole action, as the API sent it.", "executed_actions"),
        ),
    ),
    View(
        "call_judgements",
        "Verdicts of the judge, one row for each call and check.",
        (
            DAY,
            MODEL_ID,
            _CALL_ID,
            _typed("judge_check", "VARCHAR", "Name of the check.", "judge_verdicts"),
            _typed(
                "verdict",
                "VARCHAR",
                "`true`, `partial`, `false`, `not_applicable`, a score, or `other`.",
                "judge_verdicts",
            ),
            _kept("feedback", "VARCHAR", "Explanation of the verdict.", "judge_results"),
        ),
    ),
    View(
        "call_variables",
        "Variables that agents asked for, and what extractors looked for: one row for each call and variable.",
        (
            DAY,
            MODEL_ID,
            _CALL_ID,
            _typed("source", "VARCHAR", "`variable` or `extractor`.", "variables"),
            _typed("variable", "VARCHAR", "Name of the variable.", "variables"),
            _typed("collected", "BOOLEAN", "Whether it was collected, at least once.", "variables"),
            _kept("value", "JSON", "Its value.", "collected_variables", "executed_actions"),
        ),
    ),
)

LANDED_TABLES = (CALLS, CALL_REJECTS, CALL_LOADS)
TABLES = {
    table.name: table
    for table in (
        *LANDED_TABLES,
        AGENTS,
        *METRIC_TABLES,
        METRIC_COMPUTATIONS,
        EXPORTS,
        CALL_RECORDINGS,
        FORGOTTEN,
        VERSION,
    )
}
VIEWS = (*CALL_VIEWS, *METRIC_VIEWS)
MACROS = METRIC_MACROS
PERSONAL_COLUMNS = tuple(column for column in CALLS.columns if column.personal)
UNREADABLE_FIELD = "a field of an unreadable name"  # stands for names that are no plain words
CALL_FIELDS = tuple(column for column in CALLS.columns if column.source is not None)
# Columns that a call or a metric needs. A record is rejected if one of these fields has a value of a wrong type. In any
# other field, only this field is lost, and its value is in `extra`.
NEEDED_COLUMNS = frozenset(
    [column.name for column in CALLS.columns if column.required]
    + [source for table in METRIC_TABLES for source in table.sources]
    + ["transcript", "error_message", "judge_results", "executed_actions", "collected_variables"]  # of derived columns
)


def table_named(name: str) -> Table:
    """Return a table by its name, without the schema's.

    Raises:
        KeyError: there is no such table, or it is a view. The message lists the tables.
    """
    if name not in TABLES:
        if name in (view.name for view in VIEWS):
            raise KeyError(f"{name} is a view: read it by SQL, FROM {name}, over connect(read_only=True)")
        raise KeyError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    return TABLES[name]
