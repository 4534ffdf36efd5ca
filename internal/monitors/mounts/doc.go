// Package mounts reads the machine's mount table and asks mounts how full they are. A mount whose
// server is gone keeps whoever asks for good, in a state that no signal ends; so every mount is
// asked on the side, and one that has not answered is not asked again until it has.
package mounts
