// Package cgroup makes, empties and removes the control groups of the lab's machines, on hosts with the hierarchies of
// cgroup v1, with both, and with cgroup v2 alone.
package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Layout is where control groups of the calling process lie on this host.
type Layout struct {
	// Unified says that there is one hierarchy, that of cgroup v2.
	Unified bool
	// Parents are the directories in which the lab makes its groups, one a hierarchy.
	Parents []string
}

// hierarchy is one mounted cgroup file system.
type hierarchy struct {
	mountPoint  string
	root        string // the group that is at the mount point
	v2          bool
	controllers []string // v1: the controllers, or name=NAME
}

// Detect reads the layout of this host.
func Detect() (Layout, error) {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Layout{}, fmt.Errorf("reading the control groups of this process: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Layout{}, fmt.Errorf("reading the mounts of this process: %w", err)
	}
	return Parse(string(membership), string(mounts))
}

// Parse computes the layout from the contents of /proc/PID/cgroup and /proc/PID/mountinfo (see proc_pid_cgroup(5) and
// proc_pid_mountinfo(5)).
//
// With cgroup v1 the lab's groups are children of the caller's own, so that what limits the caller limits the lab. With
// cgroup v2 alone that cannot be (a group with processes has no children with controllers), so they are at the top.
func Parse(membership, mountinfo string) (Layout, error) {
	hierarchies := parseMounts(mountinfo)
	if len(hierarchies) == 0 {
		return Layout{}, errors.New("no cgroup file system is mounted on this host")
	}
	if len(hierarchies) == 1 && hierarchies[0].v2 {
		return Layout{Unified: true, Parents: []string{hierarchies[0].mountPoint}}, nil
	}
	parents := memberships(membership, hierarchies)
	if len(parents) == 0 {
		return Layout{}, errors.New("this process is in no control group of a mounted cgroup file system")
	}
	return Layout{Parents: parents}, nil
}

// Memberships returns the directories of the groups that a process is in, one a hierarchy, from the content of its
// /proc/PID/cgroup and the mountinfo of the caller.
func Memberships(membership, mountinfo string) []string {
	return memberships(membership, parseMounts(mountinfo))
}

func memberships(membership string, hierarchies []hierarchy) []string {
	var groups []string
	for line := range strings.Lines(membership) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		names, path, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		at := slices.IndexFunc(hierarchies, func(h hierarchy) bool { return h.holds(names) })
		if at < 0 {
			continue
		}
		relative, err := filepath.Rel(hierarchies[at].root, path)
		if err != nil || strings.HasPrefix(relative, "..") {
			relative = "."
		}
		group := filepath.Join(hierarchies[at].mountPoint, relative)
		if !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return groups
}

// Paths returns the directories of the group called name, one a hierarchy.
func (l Layout) Paths(name string) []string {
	paths := make([]string, 0, len(l.Parents))
	for _, parent := range l.Parents {
		paths = append(paths, filepath.Join(parent, name))
	}
	return paths
}

// holds says whether the hierarchy is the one that /proc/PID/cgroup lists under names: controllers joined by commas,
// name=NAME, or nothing for v2.
func (h hierarchy) holds(names string) bool {
	if names == "" {
		return h.v2
	}
	first, _, _ := strings.Cut(names, ",")
	return slices.Contains(h.controllers, first)
}

func parseMounts(mountinfo string) []hierarchy {
	var found []hierarchy
	scanner := bufio.NewScanner(strings.NewReader(mountinfo))
	for scanner.Scan() {
		before, after, ok := strings.Cut(scanner.Text(), " - ")
		place, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(place) < 5 || len(kind) < 3 {
			continue
		}
		switch kind[0] {
		case "cgroup":
			found = append(found, hierarchy{root: place[3], mountPoint: place[4], controllers: strings.Split(kind[2], ",")})
		case "cgroup2":
			found = append(found, hierarchy{root: place[3], mountPoint: place[4], v2: true})
		}
	}
	return found
}
