// Package state keeps what the lab must remember between two commands: the lock that lets one command change the lab
// at a time, the journal of everything that was made, and the description of the cluster.
//
// The journal is the promise that nothing is left behind: a resource is written to it before it is made, so that after
// a crash at any moment every resource that can exist is in it. Undoing a resource that was never made is no error.
package state
