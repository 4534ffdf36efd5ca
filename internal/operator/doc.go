// Package operator runs Checks and the checks of both of Kuberhealthy's APIs, and diagnoses the cluster as
// it changes.
//
// It puts together what does the work: check runs Checks; run begins, ends and records the runs of
// Kuberhealthy's; checkerpod tells both what became of a pod; shard says which replica owns which check; served
// follows which kinds there are; takeover holds back beside a living Kuberhealthy; record keeps histories;
// incident diagnoses, in the one replica that leads. Each part goes on through an
// outage of the API server with what it knows, and none of them ends the process for one.
//
// controller-runtime gives the cache and the client, but not the manager: a manager starts what it
// watches once, and ends when it loses its lead. Here informers come and go with the definitions of
// their kinds, every replica works, and whoever loses the lead campaigns again. Kinds are mapped to
// resources by a fixed table, so that no discovery stands between a kind that appears and its informer.
//
// Memory is bounded by what is watched: checks, their records of runs, and checker pods without what is
// large. Histories are not cached at all.
package operator
