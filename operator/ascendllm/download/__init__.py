"""What `ascendllm download` does: a model from where it is into a folder, whole or not at all.

A LoRA adapter goes the same way; what it needs is another thing (`choice`, `verify`).

`source` says where from; `sources` has a module a server that is spoken to, each by the hub's own
client: it lists the files (`listing`) and brings one of them to a path, going on where an earlier
try was cut. `choice` picks the files that vLLM reads. `folder` is the place on disk: what is not
complete never bears the model's name. `run` puts it together; `verify` and `numbers` look at what
came.
"""
