"""Synthflow voice-agent calls as Dagster assets.

The data's way, which is also the order of the layers; nothing imports what stands behind it:

    settings        every setting, the only reader of the environment
    api             asks Synthflow: one request (client), its answer (pages), a day of an agent (fetch)
    warehouse       what the tables are (schema), how records become rows (decoding, landing), how to open them
    loading         API -> calls: which agents, which days, what becomes of each
    metrics         calls -> metrics: one SQL file a table
    quality         what must hold of both: one SQL file a promise
    orchestration   the thin Dagster shell around all of it
    report          metrics -> one page for people

Beside them: `sandbox`, the stand-in for the API; `local`, which runs demo and UI on this machine; `cli`, the command.
"""
