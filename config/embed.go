// Package config holds the manifests that are generated from the code, so that a program can
// print what a cluster needs to serve it. Nothing in its folders is written by hand.
package config

import (
	"embed"
	"io/fs"
)

// The patterns name files: a folder would take along what an editor left in it.
//
//go:embed crd/*.yaml
var files embed.FS

// CustomResourceDefinitions returns the definitions of Maek's own kinds, one file each, named
// GROUP_PLURAL.yaml.
func CustomResourceDefinitions() fs.FS {
	sub, err := fs.Sub(files, "crd")
	if err != nil {
		// fs.Sub fails only for a name that is no valid path, and this one is a constant.
		panic(err)
	}
	return sub
}
