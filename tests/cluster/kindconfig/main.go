// Command kindconfig holds a file against kind's own configuration parser and its checks, and
// prints the nodes that kind would make as JSON. It needs no Docker.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/kind/pkg/internal/apis/config/encoding"
)

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: kindconfig FILE"))
	}
	config, err := encoding.Load(os.Args[1])
	if err != nil {
		fail(err)
	}
	if err := config.Validate(); err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(config.Nodes); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
