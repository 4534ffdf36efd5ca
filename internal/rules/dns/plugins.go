package dns

// plugins are what CoreDNS is built with
// (https://github.com/coredns/coredns/blob/v1.14.7/plugin.cfg), and those that it had in the versions
// that Kubernetes installed before. A build of somebody else's may have more.
var plugins = []string{
	"acl", "any", "auto", "autopath", "azure", "bind", "bufsize", "cache", "cancel", "chaos",
	"clouddns", "debug", "dns64", "dnssec", "dnstap", "erratic", "errors", "etcd", "federation", "file",
	"forward", "geoip", "grpc", "grpc_server", "header", "health", "hosts", "https", "https3", "k8s_external",
	"kubernetes", "loadbalance", "local", "log", "loop", "metadata", "minimal", "multisocket", "nomad", "nsid",
	"on", "pprof", "prometheus", "proxy", "proxyproto", "quic", "ready", "reload", "rewrite", "root",
	"route53", "secondary", "shed", "shutdown", "sign", "startup", "template", "timeouts", "tls", "trace",
	"transfer", "tsig", "view", "whoami",
}
