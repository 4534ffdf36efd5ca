// Package live fills a snapshot from an API server, and answers questions about it while the
// program runs.
//
// It asks for what it needs and nothing else: one paged LIST a kind, in protobuf, with paths that
// come from the kinds themselves; those of custom resources, in JSON, come from their definitions.
// There is no discovery, so a dead aggregated API cannot disturb it. Whatever cannot be read leaves its reason in the kind's Coverage; whatever keeps the API
// server as a whole from being used is looked into layer by layer, from the name of the server
// inwards, and recorded in the snapshot's API. Nothing wrong with the cluster is ever an error of
// this package.
package live
