// Command npu-device-plugin is a device plugin for NPUs that are not there. To the kubelet, to the API server
// and to pods it does what MindCluster's device plugin does on an Ascend node.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// config is what the command line says.
type config struct {
	node       string
	kubeconfig string
	resource   string
	prefix     string
	count      int
	mode       string
	labels     map[string]string
	state      string
}

func main() {
	c := parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		klog.ErrorS(err, "The device plugin ends")
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	}
}

func parse() config {
	var c config
	flags := pflag.CommandLine
	flags.StringVar(&c.node, "node-name", "", "the node's name")
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "who writes the node's labels and the pods' annotations")
	flags.StringVar(&c.resource, "resource", "huawei.com/Ascend910", "the extended resource")
	flags.StringVar(&c.prefix, "device-prefix", "Ascend910", "the devices are PREFIX-0, PREFIX-1 and so on")
	flags.IntVar(&c.count, "count", 16, "how many devices there are")
	flags.StringVar(&c.mode, "mode", modeRuntime,
		"what Allocate answers: runtime, for a node with Ascend Docker Runtime, or devices, for one without")
	flags.StringToStringVar(&c.labels, "labels", nil, "labels that the plugin writes on its node")
	flags.StringVar(&c.state, "state", "/run/npu-device-plugin", "folder: an empty file DEVICE in STATE/unhealthy makes that device unhealthy;\n"+
		"STATE/listening is there while the kubelet listens")
	pflag.Parse()
	return c
}

func run(ctx context.Context, c config) error {
	if c.mode != modeRuntime && c.mode != modeDevices {
		return fmt.Errorf("--mode %q: must be %s or %s", c.mode, modeRuntime, modeDevices)
	}
	rest, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig %q: %w", c.kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return fmt.Errorf("--kubeconfig %q: %w", c.kubeconfig, err)
	}
	health, err := newHealth(filepath.Join(c.state, "unhealthy"), deviceIDs(c.prefix, c.count))
	if err != nil {
		return err
	}
	plugin := &plugin{health: health, mode: c.mode, listening: filepath.Join(c.state, "listening")}
	if err := os.RemoveAll(plugin.listening); err != nil { // of one that was killed
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return health.watch(ctx) })
	group.Go(func() error { return serve(ctx, pluginapi.DevicePluginPath, c.resource, plugin) })
	group.Go(func() error { return labelNode(ctx, client, c.node, c.labels) })
	group.Go(func() error { return annotatePods(ctx, client, c.resource) })
	group.Go(func() error { return tellDevices(ctx, client, c.node, c.resource, health) })
	return group.Wait()
}

func deviceIDs(prefix string, count int) []string {
	ids := make([]string, count)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return ids
}
