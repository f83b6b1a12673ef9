"""The AscendLLM resource: its pydantic models are the one source of the CRD (`make crds`).

`scalars` are the bounded values; `spec`, with `sources` and `validation`, is what a user writes;
`status` is what the operator answers; `parse` reads a spec from an object; `crd` turns the models
into a structural schema.
"""
