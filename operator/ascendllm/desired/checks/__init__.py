"""How the job of each check is called: one pure builder a check.

`call` says what a call consists of; `files` where a job finds data and references.
"""
