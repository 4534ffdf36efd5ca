// Package monitors composes what is watched on a machine. Each folder below it is one monitor, with
// the files of recorded machines on which it is tested. Machines are Linux hosts.
package monitors
