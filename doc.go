// Package maek is the root of the module and holds no code: this is the map of its packages, from
// the bottom up. A package imports only packages of lower layers; arch_test.go holds that.
//
// # Layer 0: what is written to a cluster
//
// api/maek/v1alpha1 has the types of Maek's own objects and of the document that
// `kubectl maek -o json` prints; config embeds the manifests generated from them.
//
// # Layer 1: words and state
//
// internal/finding has the words in which Maek speaks of trouble: finding, incident, skip.
// internal/snapshot is everything known about one cluster at one moment, and what is missing.
//
// # Layer 2: contracts
//
// internal/rule says what a detection rule is and evaluates rules in rounds of questions and
// answers. internal/monitor says what is read on a machine. internal/probe is one attempt at an
// endpoint, as a kubelet makes it, and the scheduler of many. internal/history keeps the outcomes
// of checks.
//
// # Layer 3: implementations
//
// internal/rules has the detection rules: one file and one fixture each. internal/monitors reads
// machines. internal/synthetic plays scenarios on the cluster. internal/collect fills snapshots
// and answers questions; nothing else reads a cluster. internal/kuberhealthy speaks Kuberhealthy's
// contract. internal/diagnosis joins findings into incidents. internal/report renders them.
//
// # Layer 4: roles
//
// Each folder runs in one program only: internal/cli in kubectl-maek, internal/operator and
// internal/statuspage in maek-operator, internal/agent in maek-agent, internal/checker in
// maek-checker. They never import each other.
//
// # Layer 5: wiring
//
// cmd has the main packages: flags, signals, dependencies, exit code.
//
// # On top
//
// test/controlplane tests against a real API server, test/e2e and test/faults against the lab, and
// bench measures. The lab itself is a module of its own in lab; the developer's tools are pinned
// in tools.
package maek
