"""A stand-in for lm-eval 0.4.12 in the unit tests: its command, its configuration, its files.

The tests of tests/vllm run the real one. `LM_EVAL_STAND_IN` (JSON) chooses what goes wrong.
"""
