"""The real vLLM 0.18.0 on CPU, and what our own parts are held against on it.

`environment`  puts it into the user's cache folder
`engine`       starts and ends a server with a tiny model
"""
