// Package snapshot holds all evidence about one cluster at one moment, with what is missing from
// it and why. A snapshot is filled once, by a Builder, and then only read: it has no I/O and no
// clock of its own, and nothing that reads it can tell whether it came from a live cluster, from
// caches or from disk.
//
// Three ideas carry it:
//
//   - Coverage: every kind says whether it was read whole, in part, or not at all and why. What
//     was not read is never taken for absent.
//   - Freshness: a status field is only as true as the process that writes it is alive. Writer
//     says which that is and whether it lives.
//   - Topology: which pods run on a node, who owns a pod, whom a Service selects. Indexes are
//     built when first asked for.
package snapshot
