// Command probe prints, as one JSON object, what a container sees of its node: the environment and
// the device nodes of its NPUs, and what the services that it is given as HOST:PORT resolve to.
package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const dialTimeout = 5 * time.Second

type findings struct {
	Environment map[string]string `json:"environment"`
	Devices     []string          `json:"devices"`
	Services    map[string]string `json:"services"` // the address connected to, or why not
}

func main() {
	found := findings{Environment: ascendEnvironment(), Devices: npuDevices(), Services: map[string]string{}}
	for _, service := range os.Args[1:] {
		found.Services[service] = connect(service)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		os.Exit(1)
	}
}

func ascendEnvironment() map[string]string {
	environment := map[string]string{}
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "ASCEND_") {
			environment[name] = value
		}
	}
	return environment
}

func npuDevices() []string {
	devices := []string{}
	for _, pattern := range []string{"/dev/davinci*", "/dev/devmm_svm", "/dev/hisi_hdc"} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		devices = append(devices, found...)
	}
	return devices
}

func connect(service string) string {
	connection, err := net.DialTimeout("tcp", service, dialTimeout)
	if err != nil {
		return err.Error()
	}
	defer connection.Close()
	return connection.RemoteAddr().String()
}
