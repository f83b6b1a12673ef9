"""MMLU: 57 subjects of four-choice questions.

`data` reads the questions (`containers` finds the files, `rows` and `parquet` read them),
`subjects` chooses among them. `protocols` says how a question is put,
`prompts` makes what is sent, `survey` (with `letters` and `window`) asks the server's tokenizer
about it beforehand. `methods` are the ways to ask for a letter and to read it, `stages` is the
order of the questions, `asking` asks them; `checkpoint` holds the answers, `figures` computes the
averages, `verdict` judges, `run` is all of it in turn. With a `reference`, `sequential` asks in the
`looks` of a plan and decides by the `paired` difference.
"""
