"""Plain Python for Synthflow's HTTP API, without Dagster or DuckDB.

The modules in the order of their layers; none imports one below it in this list:

    error_texts             the sentences in the body of an error
    pages, http_errors      parse the bodies of responses, and turn failures into errors
    ids, events             a small set of call ids; what is fetched, and the events of a fetch
    concurrency             how many requests the API answers at once
    window                  which pages a window needs, and when it is complete
    fetch                   all windows in parallel
    throttle, connections   request rate, and deadlines of connections
    retries                 repeat a request after a transient error
    transport               requests over HTTP
    client                  `SynthflowClient`: the endpoints
    probe                   find out by experiment what the API's reference does not specify
"""
