"""What to do: pure functions from (resource, spec, observed, settings) to a plan.

One pass, in this order:

1. `policies`: may this spec be acted on at all? Small named checks, each with reason and remedy.
2. `revision`: which revision is the spec's: a kept one, or one resolved and rendered now.
3. `rollout`: which pods should run. Recreate: the old revision is gone before the new one starts.
4. `checks`: where each check stands on that revision: due, running, finished, spent, blocked.
5. `sealing`, `runs`, `sweeping`: which run is finished for good; which starts, goes on or is
   stopped; what is over and forgotten.
6. `traffic`: which revision the client Service selects.

`decide` puts them together. It reads nothing of the resource's status: killing the operator at any
line, or wiping the status, leads to the same objects.
"""
