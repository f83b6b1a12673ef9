"""Real clusters for the tests and the demo: a whole node, or a control plane alone.

    python tests/cluster up                          # a node with 16 NPUs; `--help` tells the rest
    from cluster.control_plane import ControlPlane   # etcd and kube-apiserver on loopback

From the bottom up:

errors, paths, commands    what everything here uses
binaries, host             what is built from Go, and what the distribution provides
pki, kubeconfig, api       credentials, and the calls that are made without kubectl
components                 the control plane's command lines
processes, control_plane   a control plane alone
npu                        the NPUs that a node pretends to have (the plugin is npu-device-plugin/)
provider                   what every cluster can do: `existing`, `kind` and `bare` are the three
mounts, network, cgroups   what a bare node is made of
node_components, assembly  what runs on it
node, node_process         its first process, from the inside and from the host
choice, cli                which cluster is meant, and the commands
images, imaging            the project's images, built without a registry
installation, demo         the operator and its example on a cluster
upstream                   other projects on one, from their Go modules, such as
lws, keda, traefik         the LeaderWorkerSet controller, KEDA, a gateway,
prometheus                 Prometheus and its adapter
"""
