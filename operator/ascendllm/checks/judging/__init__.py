"""Verdicts from figures: pure and light, so that the operator can judge stored figures again."""
