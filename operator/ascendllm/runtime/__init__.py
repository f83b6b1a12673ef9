"""The process: kopf as watcher, a work queue, leader election, health, metrics, logs.

kopf calls a handler for each event and never again, so the handlers only put keys into the queue;
retries, backoff and resync are the queue's.
"""
