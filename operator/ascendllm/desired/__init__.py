"""Every Kubernetes object that the operator makes: one pure builder a file, dicts out.

Nothing here looks at a cluster or a clock. What depends on either comes in as an argument.
"""
