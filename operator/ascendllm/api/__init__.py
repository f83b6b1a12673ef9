"""The AscendLLM resource: its pydantic models are the one source of the CRD (`make crds`).

`scalars` and `cron` are the bounded values; `spec` is what a user writes, with `sources` (where
files are), `validation` (the proof), `checks` (a module a check), `job` (where jobs run) and
`kind_rules` (which checks fit which model); `status` is what the operator answers; `parse` reads a
spec from an object; `crd` turns the models into a structural schema.
"""
