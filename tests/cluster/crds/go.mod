// Other projects' custom resource definitions, read out of their modules; nothing is built of it.
module ascendllm.io/crds

go 1.24

require sigs.k8s.io/gateway-api v1.4.0
