"""What is said of a resource: computed from the decision and what was observed, never from itself.

`conditions` declares them once, with their polarity; `situations` is the table of what they say,
row by row, the first that fits counts; `figures` shapes the checks' results; `build` puts it
together. The only thing read of the status before is each condition's `lastTransitionTime`.
"""
