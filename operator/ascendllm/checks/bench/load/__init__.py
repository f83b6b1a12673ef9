"""One process of the load generator, and how it is driven.

Measured time holds no more than what it must: a process without asyncio, with one selector, no
garbage collection, requests that are bytes before they are due, on connections that are open. A
chunk's moment is the kernel's time of its arrival; what it says is read when nothing else is due.

`process` is the parent's side (asyncio), `worker` the process, `frames` what they say to each
other. In the worker: `loop` runs the load over the connections of `pool`; a `connection` is a
`wire` (a socket with TLS and times of arrival) whose `response` is cut, and `answer` reads what it
said. `lateness` judges the client itself.
"""
