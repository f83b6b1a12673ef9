"""The checks of smoke by group; `ascendllm.checks.smoke.table` says which of them decide.

A check is a coroutine function of a `Context`. It returns a note for people or None, and raises
`WrongError` where the server answered wrongly, `NotApplicableError` where there is nothing to look
at, `CheckError` where no answer came.
"""
