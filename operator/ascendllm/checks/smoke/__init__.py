"""Smoke: does the server answer, under the right name, in the right shapes?

`http` asks (httpx), `shapes` says what an answer must look like, `run` holds the steps.
"""
