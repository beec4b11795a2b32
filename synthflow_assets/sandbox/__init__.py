"""The stand-in for Synthflow's API: a real HTTP server with made-up calls, for the demo, the tests and benchmarks.

It answers as the live API was seen to answer, misbehaves on request, and knows the truth that a fetch is held
against. Nothing of the pipeline imports it.
"""
