// CoreDNS with the plugins that a test cluster's name service needs, and no others:
// with all of them it takes minutes more to build.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() {
	// In the order in which a query passes through them.
	dnsserver.Directives = []string{"ready", "errors", "cache", "kubernetes", "hosts"}
	coremain.Run()
}
