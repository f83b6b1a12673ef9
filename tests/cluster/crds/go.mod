// Other projects' custom resource definitions, read out of their modules; nothing is built of it.
module ascendllm.io/crds

go 1.24

require (
	github.com/kedacore/keda/v2 v2.18.0
	sigs.k8s.io/gateway-api v1.4.0
)
