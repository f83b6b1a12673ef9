"""Real clusters for the tests and the demo: a whole node, or a control plane alone.

    python tests/cluster up          # a node with 16 NPUs, see `cli`
    from cluster.control_plane import ControlPlane   # etcd and kube-apiserver on loopback

`errors`, `commands`, `paths`      what everything here uses
`binaries`, `host`                 what is built from Go, and what the distribution provides
`pki`, `kubeconfig`, `api`         credentials, and the few API calls made without kubectl
`components`                       every component's command line and configuration
`control_plane`, `processes`       the control plane alone
`provider`                         the choice of `existing`, `kind` or `bare`
`npu`                              the NPUs that the node pretends to have
"""
