-- Derive typed columns from the JSON and the texts of calls. This runs before personal data is treated, so no column may
-- contain what a person said: no answer, no number, no free text. The one exception is caller_key, which is treated as a
-- phone number.
-- The source is a relation with the columns judge_results, executed_actions, collected_variables, transcript, error_message,
-- call_status, end_call_reason, type_of_call and the four phone numbers.

-- Judge. An answer is the verdict of a check, an aggregate over all checks, or an explanation. The key of an explanation is
-- the key of its check with _feedback or _reason. An empty answer is no verdict.
WITH answered AS (
    SELECT
        *,
        from_json(judge_results, '"MAP(VARCHAR, VARCHAR)"') AS answers,
        replace(lower(trim(call_status)), '_', '-') AS status  -- Synthflow mixes hyphens and underscores
    FROM {source}
),
judged AS (
    SELECT
        *,
        list_filter(
            map_entries(answers),
            lambda answer, position: CASE
                WHEN answer.value IS NULL OR answer.value = '' THEN false
                WHEN answer.key IN ('all_feedback', 'judge_found_full_error', 'judge_found_partial_or_error') THEN false
                WHEN ends_with(answer.key, '_feedback') AND map_contains(answers, left(answer.key, -9)) THEN false
                WHEN ends_with(answer.key, '_reason') AND map_contains(answers, left(answer.key, -7)) THEN false
                WHEN list_position(map_keys(answers), answer.key) < position THEN false  -- DuckDB 1.5 keeps a repeated key
                WHEN answer.value IN ('true', 'false', 'partial', 'not_applicable') THEN true  -- trim() takes longer
                ELSE trim(answer.value) <> ''
            END
        ) AS verdicts
    FROM answered
),

-- Actions are an object, keyed by the action's name, or a list. An entry without a name, type, error and return value is
-- no action. The return value and the hard-coded parameters are JSON or a text of JSON: read as VARCHAR, both are the text of the
-- JSON.
listed AS (
    SELECT
        *,
        list_filter(
            CASE
                WHEN starts_with(executed_actions, '[') THEN list_transform(
                    from_json(executed_actions, '"{action}[]"'), lambda action: {'key': NULL::VARCHAR, 'value': action}
                )
                WHEN starts_with(executed_actions, '{')
                    THEN map_entries(from_json(executed_actions, '"MAP(VARCHAR, {action})"'))
            END,
            lambda entry: coalesce(
                entry.value.name, entry.value.action_type, entry.value.error_message, entry.value.return_value
            ) IS NOT NULL
        ) AS listed
    FROM judged
),
executed AS (
    SELECT
        *,
        list_transform(
            listed,
            lambda entry: {
                'name': coalesce(nullif(trim(entry.value.name), ''), entry.key),
                'action_type': trim(entry.value.action_type),
                'error_message': trim(entry.value.error_message),
                'return_value': CASE WHEN json_valid(entry.value.return_value) THEN entry.value.return_value END,
                'return_value_status': replace(lower(trim(entry.value.return_value_status)), '_', '-'),
                'parameters': entry.value.parameters_hard_coded,
                'epoch_seconds': TRY_CAST(entry.value.timestamp AS DOUBLE),
                'date_time': TRY_CAST(entry.value.timestamp_datetime AS TIMESTAMPTZ)
            }
        ) AS executed
    FROM listed
),
returned AS (
    SELECT
        *,
        list_transform(
            executed,
            lambda action: struct_insert(
                action,
                is_transfer := contains(action.action_type, 'transfer'),
                returned := from_json(
                    action.return_value,
                    '{"status": "VARCHAR", "success": "VARCHAR", "error": "VARCHAR", "status_code": "DOUBLE",
                      "failed_reason": "VARCHAR", "human_connected_at": "VARCHAR"}'
                )
            )
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
                status := replace(lower(trim(action.returned.status)), '_', '-'),
                -- Codes of a transfer. Other actions may return what a person said, and seven digits may be a phone number.
                codes := CASE WHEN action.is_transfer THEN [
                    CASE
                        WHEN code = '' THEN NULL
                        WHEN regexp_full_match(code, '[a-z0-9_-]{1,60}') AND NOT regexp_matches(code, '([0-9][^0-9]*){7}')
                            THEN code
                        WHEN code IS NOT NULL THEN 'other'
                    END
                    FOR code IN [lower(trim(action.returned.status)), lower(trim(action.returned.failed_reason))]
                ] END,
                human_epoch_seconds := TRY_CAST(action.returned.human_connected_at AS DOUBLE),
                human_date_time := TRY_CAST(action.returned.human_connected_at AS TIMESTAMPTZ)
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

-- The variable of an extractor is a key of its return value: {"IDENTIFIER": value}. The action is called
-- extract_info_IDENTIFIER or info_extractor_IDENTIFIER, so a key with such a prefix names the same variable. If the
-- extractor found nothing, the return value is {}, and only the hard-coded parameters have the identifier.
extracted AS (
    SELECT
        *,
        flatten(
            list_transform(
                list_filter(executed, lambda action: action.action_type = 'extract_info_action_type'),
                lambda action: coalesce(
                    nullif(
                        list_zip(json_keys(action.return_value), json_extract_string(action.return_value, '$.*')),
                        []
                    ),
                    [(TRY(action.parameters ->> '$.identifier'), NULL::VARCHAR)]
                )
            )
        ) AS extracted
    FROM collected
),

-- The number of the other side by the direction of the call, that of the lead, and the agent's own. Each is reduced to its
-- digits from the country code on: `tel:+1-415-555-0100;ext=5`, `"Ada" <sip:+14155550100@10.0.0.1>` and `0014155550100` are
-- the same number. A text with letters, such as `anonymous` or `sip:reception@example.com`, is no number.
numbered AS (
    SELECT
        *,
        list_transform(
            [
                CASE lower(trim(type_of_call))
                    WHEN 'outbound' THEN phone_number_to
                    WHEN 'inbound' THEN phone_number_from
                END,
                lead_phone_number,
                agent_phone_number
            ],
            lambda written: CASE
                WHEN regexp_full_match(written, '[+][1-9][0-9]{6,14}') THEN written[2:]  -- most numbers
                ELSE nullif(
                    regexp_extract(
                        regexp_replace(
                            regexp_replace(
                                regexp_replace(lower(trim(written)), '^[^<]*<|>.*$', '', 'g'),
                                '^(tel|sips?|callto):(//)?|[;?@].*$', '', 'g'
                            ),
                            '%2b|[(]0[)]|[\s\x{A0}\x{2000}-\x{2015}\x{202F}\x{2212}\x{3000}+().·/-]', '', 'g'
                        ),
                        '^(?:00)?([1-9][0-9]{6,14}|0[1-9][0-9]{5,13})$', 1
                    ),
                    ''
                )
            END
        ) AS numbers
    FROM extracted
),
faced AS (
    -- Without the agent's own number: an agent that calls itself reaches no person.
    SELECT *, coalesce(nullif(numbers[1], numbers[3]), nullif(numbers[2], numbers[3])) AS other_side
    FROM numbered
)

SELECT
    * EXCLUDE (
        status, answers, verdicts, listed, executed, returned, acted, collected, extracted, numbers, other_side
    ),
    CASE
        -- If a number is withheld, telephony providers send ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN or UNAVAILABLE, spelled
        -- on a keypad.
        WHEN other_side NOT IN ('266696687', '1266696687', '7378742833', '2562533', '8656696', '86282452253') THEN other_side
    END AS caller_key,
    -- Through JSON, because DuckDB 1.5 builds a MAP of JSON several times faster than of a list. Without answers it is
    -- NULL. A CASE around it would copy the lists of the other calls.
    from_json(
        '{'
        || array_to_string(
            list_transform(
                verdicts,
                lambda answer: to_json(answer.key) || ':"' || CASE
                    -- Most verdicts; lower() and trim() take longer.
                    WHEN answer.value IN ('true', 'partial', 'false', 'not_applicable') THEN answer.value
                    WHEN lower(trim(answer.value)) IN ('true', 'partial', 'false', 'not_applicable')
                        THEN lower(trim(answer.value))
                    -- A score. A number of more digits may be a phone number.
                    WHEN regexp_full_match(trim(answer.value), '-?[0-9]{1,3}([.][0-9]{1,3})?') THEN trim(answer.value)
                    ELSE 'other'
                END || '"'
            ),
            ','
        )
        || '}',
        '"MAP(VARCHAR, VARCHAR)"'
    ) AS judge_verdicts,
    CASE lower(trim(answers['judge_found_full_error'])) WHEN 'true' THEN true WHEN 'false' THEN false END
        AS judge_found_full_error,
    CASE lower(trim(answers['judge_found_partial_or_error'])) WHEN 'true' THEN true WHEN 'false' THEN false END
        AS judge_found_partial_or_error,
    list_transform(
        acted,
        lambda action: {
            'name': action.name,
            'action_type': action.action_type,
            -- One sign of a failure is enough.
            'failed': coalesce(
                action.error_message <> ''
                OR starts_with(action.status, 'transfer-failed')
                OR starts_with(action.return_value_status, 'transfer-failed')
                OR action.status IN ('error', 'failed', 'failure')
                OR action.return_value_status IN ('error', 'failed', 'failure')
                OR lower(trim(action.returned.success)) = 'false'
                OR lower(trim(action.returned.error)) NOT IN ('', 'false', '{}', '[]')
                OR action.returned.status_code >= 400,
                false
            ),
            'status': action.codes[1],
            'failed_reason': action.codes[2],
            'at': CASE
                WHEN action.epoch_seconds BETWEEN 0 AND 253402300799 THEN to_timestamp(action.epoch_seconds)
                WHEN isfinite(action.date_time) THEN action.date_time
            END,
            'human_connected_at': CASE
                WHEN action.human_epoch_seconds BETWEEN 0 AND 253402300799
                    THEN to_timestamp(action.human_epoch_seconds)
                WHEN isfinite(action.human_date_time) THEN action.human_date_time
            END
        }
    ) AS actions,
    CASE
        WHEN collected_variables IS NOT NULL OR executed_actions IS NOT NULL THEN list_concat(
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
        )
    END AS variables,
    len(string_split(E'\n' || transcript, E'\nhuman:')) - 1 AS human_turns,
    len(string_split(E'\n' || transcript, E'\nbot:')) + len(string_split(E'\n' || transcript, E'\nassistant:')) - 2
        AS agent_turns,
    nullif(regexp_extract(error_message, '^\s*(?:Telephony - )?([1-6][0-9]{2})(?::| -) *[A-Za-z]', 1), '')
        AS telephony_error_code,
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
FROM faced
