"""MMLU: 57 subjects of four-choice questions, answered by the letters' log-probabilities.

`data` reads the questions, `prompts` makes the text that is sent, `letters` finds the four token
ids, `answer` reads one answer, `run` asks all of them, `figures` computes the averages.
"""
