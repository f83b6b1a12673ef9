module ascendllm.io/tests/cluster/probe

go 1.24
