"""The API server: `client` is the only module that talks to it; the rest is pure or builds on it.

`cluster` is the protocol that everything else is written against, `kinds` the table of what is
touched, `compare` tells whether an apply would change anything, `lease` elects the leader,
`events` words Kubernetes events.
"""
