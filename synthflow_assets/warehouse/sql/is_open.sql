(
    call_outcome = 'open'
    -- A status that is not documented may mean that the call goes on. `spam` is the only documented one of this outcome.
    OR (
        call_outcome = 'other'
        AND lower(trim(call_status)) NOT IN ('', 'spam')
        AND coalesce(trim(end_call_reason), '') = ''
        AND coalesce(trim(telephony_disconnect_reason), '') = ''
        AND coalesce(trim(telephony_hangup), '') = ''
        AND telephony_end IS NULL
    )
)
