-- Derive typed columns from the JSON and the texts of calls. This runs before personal data is treated, so no column may
-- contain what a person said: no answer, no number, no free text.
-- The source is a relation with the columns judge_results, executed_actions, collected_variables, transcript, error_message,
-- call_status and end_call_reason.

-- Judge: the answers that are verdicts of a check. Left out are empty answers, aggregates over all checks, and explanations,
-- whose keys end in _feedback or _reason beside the key of their check.
WITH answered AS (
    SELECT
        *,
        json_keys(judge_results) AS judge_keys,
        list_zip(json_keys(judge_results), json_extract_string(judge_results, '$.*')) AS judge_answers,
        replace(lower(trim(call_status)), '_', '-') AS status  -- Synthflow mixes hyphens and underscores
    FROM {source}
),
judged AS (
    SELECT
        *,
        list_filter(
            judge_answers,
            lambda answer: CASE
                WHEN coalesce(trim(answer[2]), '') = '' THEN false
                WHEN answer[1] IN ('all_feedback', 'judge_found_full_error', 'judge_found_partial_or_error') THEN false
                WHEN ends_with(answer[1], '_feedback') THEN NOT list_contains(judge_keys, left(answer[1], -9))
                WHEN ends_with(answer[1], '_reason') THEN NOT list_contains(judge_keys, left(answer[1], -7))
                ELSE true
            END
        ) AS verdicts
    FROM answered
),

-- Actions come as an object keyed by the action's name, or as a list without keys. The return value and the hard-coded
-- parameters are JSON, or a text of JSON: read as VARCHAR, both are the text of the JSON.
keyed AS (
    SELECT
        *,
        list_filter(
            list_zip(
                json_keys(executed_actions),
                CASE
                    WHEN starts_with(executed_actions, '[') THEN json_extract(executed_actions, '$[*]')
                    WHEN starts_with(executed_actions, '{') THEN json_extract(executed_actions, '$.*')
                END
            ),
            lambda entry: starts_with(entry[2], '{')
        ) AS keyed_actions
    FROM judged
),
executed AS (
    SELECT
        *,
        list_transform(
            keyed_actions,
            lambda entry: struct_insert(
                from_json(
                    entry[2],
                    '{"name": "VARCHAR", "action_type": "VARCHAR", "error_message": "VARCHAR", "return_value": "VARCHAR",
                      "return_value_status": "VARCHAR", "parameters_hard_coded": "VARCHAR", "timestamp": "VARCHAR",
                      "timestamp_datetime": "VARCHAR"}'
                ),
                key := entry[1]
            )
        ) AS executed
    FROM keyed
),
returned AS (
    SELECT
        *,
        list_transform(
            executed,
            lambda action: {
                'name': coalesce(nullif(trim(action.name), ''), action.key),
                'action_type': trim(action.action_type),
                'error_message': trim(action.error_message),
                'epoch_seconds': TRY_CAST(action.timestamp AS DOUBLE),
                'date_time': TRY_CAST(action.timestamp_datetime AS TIMESTAMPTZ),
                'parameters': CASE WHEN json_valid(action.parameters_hard_coded) THEN action.parameters_hard_coded END,
                'return_value': CASE WHEN json_valid(action.return_value) THEN action.return_value END,
                'return_value_status': lower(trim(action.return_value_status))
            }
        ) AS returned
    FROM executed
),
acted AS (
    SELECT
        *,
        list_transform(
            returned,
            lambda action: struct_insert(
                action,
                is_transfer := contains(lower(action.action_type), 'transfer'),
                status := lower(trim(action.return_value ->> '$.status')),
                success := lower(trim(action.return_value ->> '$.success')),
                error := lower(trim(action.return_value ->> '$.error')),
                http_status := TRY_CAST(action.return_value ->> '$.status_code' AS DOUBLE),
                failed_reason := lower(trim(action.return_value ->> '$.failed_reason')),
                human_connected_at := action.return_value ->> '$.human_connected_at'
            )
        ) AS acted
    FROM returned
),

-- What an agent was to collect comes as agent -> variable -> {value, collected}, or as variable -> {value, collected}. An
-- entry is a variable unless its `collected`, or else its `value`, is an object.
collected AS (
    SELECT
        *,
        flatten(
            list_transform(
                list_zip(json_keys(collected_variables), json_extract(collected_variables, '$.*')),
                lambda entry: CASE
                    WHEN coalesce(json_type(entry[2], '$.collected'), json_type(entry[2], '$.value'), 'OBJECT') <> 'OBJECT'
                        THEN [entry]
                    ELSE list_zip(json_keys(entry[2]), json_extract(entry[2], '$.*'))
                END
            )
        ) AS collected
    FROM acted
),

-- What an extractor was to find out is a key of its return value: {"IDENTIFIER": value}. The action is called
-- extract_info_IDENTIFIER or info_extractor_IDENTIFIER, so a key with such a prefix names the same variable. If the
-- extractor found nothing, the return value is {}, and only the hard-coded parameters have the identifier.
extracted AS (
    SELECT
        *,
        flatten(
            list_transform(
                list_filter(acted, lambda action: lower(action.action_type) = 'extract_info_action_type'),
                lambda action: coalesce(
                    nullif(
                        list_zip(json_keys(action.return_value), json_extract_string(action.return_value, '$.*')),
                        []
                    ),
                    [(action.parameters ->> '$.identifier', NULL::VARCHAR)]
                )
            )
        ) AS extracted
    FROM collected
)

SELECT
    * EXCLUDE (status, judge_keys, judge_answers, verdicts, keyed_actions, executed, returned, acted, collected, extracted),
    CASE
        WHEN starts_with(judge_results, '{')
            THEN TRY(  -- NULL if a check occurs twice
                map_from_entries(
                    list_transform(
                        verdicts,
                        lambda answer: (
                            answer[1],
                            CASE
                                WHEN lower(trim(answer[2])) IN ('true', 'partial', 'false', 'not_applicable')
                                    THEN lower(trim(answer[2]))
                                -- A score. A number of more digits may be a phone number.
                                WHEN regexp_full_match(trim(answer[2]), '-?[0-9]{1,3}([.][0-9]{1,3})?')
                                    THEN trim(answer[2])
                                ELSE 'other'
                            END
                        )
                    )
                )
            )
    END AS judge_verdicts,
    CASE lower(trim(judge_results ->> '$.judge_found_full_error')) WHEN 'true' THEN true WHEN 'false' THEN false END
        AS judge_found_full_error,
    CASE lower(trim(judge_results ->> '$.judge_found_partial_or_error')) WHEN 'true' THEN true WHEN 'false' THEN false END
        AS judge_found_partial_or_error,
    CASE WHEN regexp_matches(executed_actions, '^[{[]') THEN list_transform(
        acted,
        lambda action: {
            'name': action.name,
            'action_type': action.action_type,
            -- One sign of a failure is enough.
            'failed':
                coalesce(action.error_message <> '', false)
                OR coalesce(starts_with(replace(action.status, '_', '-'), 'transfer-failed'), false)
                OR coalesce(action.status IN ('error', 'failed', 'failure'), false)
                OR coalesce(starts_with(replace(action.return_value_status, '_', '-'), 'transfer-failed'), false)
                OR coalesce(action.return_value_status IN ('error', 'failed', 'failure'), false)
                OR coalesce(action.success = 'false', false)
                OR coalesce(action.error NOT IN ('', 'false', '{}', '[]'), false)
                OR coalesce(action.http_status >= 400, false),
            -- Codes of a transfer. Other actions may return what a person said, and seven digits may be a phone number.
            'status': CASE
                WHEN NOT action.is_transfer OR action.status = '' THEN NULL
                WHEN regexp_full_match(action.status, '[a-z0-9_-]{1,60}')
                    AND NOT regexp_matches(action.status, '([0-9][^0-9]*){7}') THEN action.status
                WHEN action.status IS NOT NULL THEN 'other'
            END,
            'failed_reason': CASE
                WHEN NOT action.is_transfer OR action.failed_reason = '' THEN NULL
                WHEN regexp_full_match(action.failed_reason, '[a-z0-9_-]{1,60}')
                    AND NOT regexp_matches(action.failed_reason, '([0-9][^0-9]*){7}') THEN action.failed_reason
                WHEN action.failed_reason IS NOT NULL THEN 'other'
            END,
            'at': CASE
                WHEN action.epoch_seconds BETWEEN 0 AND 253402300799 THEN to_timestamp(action.epoch_seconds)
                WHEN isfinite(action.date_time) THEN action.date_time
            END,
            'human_connected_at': CASE
                WHEN TRY_CAST(action.human_connected_at AS DOUBLE) BETWEEN 0 AND 253402300799
                    THEN to_timestamp(TRY_CAST(action.human_connected_at AS DOUBLE))
                WHEN isfinite(TRY_CAST(action.human_connected_at AS TIMESTAMPTZ))
                    THEN TRY_CAST(action.human_connected_at AS TIMESTAMPTZ)
            END
        }
    ) END AS actions,
    CASE WHEN coalesce(collected_variables, executed_actions) IS NOT NULL THEN list_concat(
        list_transform(
            collected,
            lambda entry: {
                'name': entry[1],
                'source': 'variable',
                'collected': coalesce(
                    lower(entry[2] ->> '$.collected') = 'true',
                    coalesce(trim(entry[2] ->> '$.value'), '') NOT IN ('', '{}', '[]')
                )
            }
        ),
        list_transform(
            list_filter(extracted, lambda entry: entry[1] <> ''),
            lambda entry: {
                'name': regexp_replace(entry[1], '^(extract_info|info_extractor)_', ''),
                'source': 'extractor',
                'collected': coalesce(trim(entry[2]), '') NOT IN ('', '{}', '[]')
            }
        )
    ) END AS variables,
    len(string_split(E'\n' || transcript, E'\nhuman:')) - 1 AS human_turns,
    len(string_split(E'\n' || transcript, E'\nbot:')) + len(string_split(E'\n' || transcript, E'\nassistant:')) - 2
        AS agent_turns,
    nullif(regexp_extract(error_message, '^\s*(?:Telephony - )?([1-6][0-9]{2})(?::| -) *[A-Za-z]', 1), '') AS telephony_error_code,
    CASE
        WHEN status = 'completed' AND starts_with(lower(trim(end_call_reason)), 'voicemail') THEN 'voicemail'
        WHEN status = 'completed' THEN 'person_reached'
        WHEN status IN ('hangup-on-voicemail', 'left-voicemail') THEN 'voicemail'
        WHEN status = 'no-answer' THEN 'no_answer'
        WHEN status IN ('busy', 'failed', 'canceled') THEN status
        WHEN status = 'user-canceled' THEN 'canceled'
        WHEN status IN ({open_statuses}) THEN 'open'
        ELSE 'other'
    END AS call_outcome
FROM extracted
