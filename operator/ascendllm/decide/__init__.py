"""What to do: pure functions from (resource, spec, observed, settings) to a plan.

One pass, in this order:

1. `care`: which pods can't go on though they run, and are replaced.
2. `policies`: may this spec be acted on at all? Small named checks, each with reason and remedy.
3. `revision`, `resolving`: which revision is the spec's: a kept one, or one resolved (image, chips)
   and rendered now.
4. `job_images`: whether the settings name the images of the jobs that are still to be created.
   `download`: what its pods read that is fetched first; `fit`: what is known not to fit the NPUs.
5. `rollout`: which pods should run. Recreate: the old revision is gone before the new one starts;
   BlueGreen: it goes once the new one is served. `stages`: what waiting pods wait for, told so that
   it can be mended.
6. `asked`, `demand`, `judging`, `checks`: what each check measures with, what asks for it to run
   again, what its stored figures come to, and where it stands: due, running, finished, spent,
   blocked.
7. `traffic`: which revision the client Service selects; `extras`: what stands around it where asked
   for, such as an autoscaler, a budget of disruptions, a route.
8. `sealing`, `runs`, `sweeping`: which run is finished for good; which starts, goes on or is
   stopped; what is over and forgotten.

Of the checks, dummy comes before the pods: `rollout` raises none until it has passed, and its job
brings a server of its own (`desired.checks.dummy`).

`decision` puts them together. It reads nothing of the resource's status: killing the operator at
any line, or wiping the status, leads to the same objects. What it lacks it names (`needs`).

What starts a check again, and what a revision with clients then goes through:

- A change of what the check measures (images, fields, data): its identity is another one. Clients
  stay where they are; the resource is not Ready until a verdict is there.
- A new revalidate value, or a slot of the schedule: the identity stays, so the verdict before
  stays in force until the new one is there, and Ready with it. A worse one takes Ready away, not
  the clients. One that is not reached (Error, retries spent) leaves Ready as it was.
- Clients may be asking meanwhile. mmlu and evals then take a quarter of the server's places. bench
  would measure them too: it ends `Skipped`/`OtherTraffic` when it saw others' requests, unless the
  spec says `underLoad`. Skipped leaves the verdict before it in force. As a first run it proves
  nothing: it is tried again, and then the resource is not Ready (`ValidationError`), since what was
  asked for was not shown; `underLoad`, or a quieter hour in `schedule`, mends that.
"""
