"""A stand-in for Synthflow's API: a real HTTP server with made-up calls, for the demo, tests and benchmarks.

It responds as the live API does, injects faults on request, and knows which calls exist, so that a fetch can be
verified. The pipeline does not import it.
"""
