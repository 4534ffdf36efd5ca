// Diagnosisschema prints the JSON schema of the Diagnosis document, made of its Go types and their
// markers by the same library that makes the schemas of the CRDs:
//
//	go run -C tools ./diagnosisschema ../docs/diagnosis.schema.json
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/tools/go/packages"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/controller-tools/pkg/crd"
	"sigs.k8s.io/controller-tools/pkg/loader"
	"sigs.k8s.io/controller-tools/pkg/markers"
)

const (
	pkg = "github.com/maek-dev/maek/api/maek/v1alpha1"
	// product is where the product's module lies, seen from this one.
	product = ".."
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "diagnosisschema:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: diagnosisschema FILE")
	}
	schema, err := diagnosis()
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		return err
	}
	return os.WriteFile(args[0], buf.Bytes(), 0o644)
}

func diagnosis() (*apiextensionsv1.JSONSchemaProps, error) {
	roots, err := loader.LoadRootsWithConfig(&packages.Config{Dir: product}, pkg)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", pkg, err)
	}
	registry := &markers.Registry{}
	if err := (crd.Generator{}).RegisterMarkers(registry); err != nil {
		return nil, fmt.Errorf("registering markers: %w", err)
	}
	parser := &crd.Parser{Collector: &markers.Collector{Registry: registry}, Checker: &loader.TypeChecker{}}
	crd.AddKnownTypes(parser)
	// The schema is for readers of JSON in general: an int is a number of any size.
	parser.AllowDangerousTypes = true
	root := roots[0]
	parser.NeedPackage(root)
	ident := crd.TypeIdent{Package: root, Name: "Diagnosis"}
	parser.NeedFlattenedSchemaFor(ident)
	// Only what the document refers to is type-checked, so errors of types elsewhere mean nothing.
	if loader.PrintErrors(roots, packages.TypeError) {
		return nil, fmt.Errorf("%s has errors", pkg)
	}
	schema := parser.FlattenedSchemata[ident]
	schema.Schema = "http://json-schema.org/draft-04/schema#"
	schema.Title = "Diagnosis"
	return &schema, nil
}
