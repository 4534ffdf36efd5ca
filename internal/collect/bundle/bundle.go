package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maek-dev/maek/internal/collect"
	"github.com/maek-dev/maek/internal/finding"
	"github.com/maek-dev/maek/internal/secret"
	"github.com/maek-dev/maek/internal/snapshot"
)

// Bundle is a snapshot read from disk. It answers questions from the logs that lie beside the
// objects.
type Bundle struct {
	source   source
	snapshot *snapshot.Snapshot
	gaps     []finding.Skip
}

// Open reads the bundle at a path: a folder, a .tar, .tar.gz or .tgz archive, or a single .json or
// .yaml file. The error is one sentence about a bundle that cannot be used at all; what else could
// not be read is among the Gaps.
func Open(ctx context.Context, path string) (*Bundle, error) {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fmt.Errorf("reading bundle %s: %w", path, plain(err))
	}
	b, err := OpenFS(ctx, os.DirFS(filepath.Dir(target)), filepath.Base(target))
	if err != nil {
		return nil, fmt.Errorf("reading bundle %s: %w", path, err)
	}
	return b, nil
}

// OpenFS reads the bundle at a name inside a file system; the name "." means that the file system
// itself is the folder.
func OpenFS(ctx context.Context, fsys fs.FS, name string) (*Bundle, error) {
	g := &gaps{}
	src, err := sourceOf(fsys, name, g)
	if err != nil {
		return nil, err
	}
	r := newReader(name, g)
	err = src.walk(ctx, r.visit)
	if cut, ok := errors.AsType[cutOffError](err); ok {
		r.cut = true
		g.add("", "the archive is cut off or damaged after %d files (%s); what came before is used", "아카이브가 파일 %d개 뒤에서 잘렸거나 손상되었습니다(%s). 그 앞까지의 내용만 사용합니다", r.files, cut.err)
	} else if err != nil {
		return nil, err
	}
	if r.files == 0 && !r.cut {
		return nil, errors.New("there is nothing in it; give a folder or archive written by \"kubectl maek dump\", or lists from \"kubectl get -A -o yaml\"")
	}
	if len(r.kinds) == 0 && len(r.custom.kinds) == 0 && r.manifest == nil && len(r.machines) == 0 {
		return nil, fmt.Errorf("there is no Kubernetes object in it%s; put lists from \"kubectl get -A -o yaml\" there, or give what \"kubectl maek dump\" wrote", r.firstGap())
	}
	b := &Bundle{source: src, snapshot: r.build()}
	if r.manifest != nil {
		b.addRecordedAnswers(ctx, r.manifest.Answers)
	}
	b.gaps = r.skips()
	return b, nil
}

// Snapshot that the bundle holds.
func (b *Bundle) Snapshot() *snapshot.Snapshot { return b.snapshot }

// Gaps are what could not be read or understood, beyond the coverage of kinds, in a fixed order.
func (b *Bundle) Gaps() []finding.Skip { return b.gaps }

// reader takes in the files of a bundle one by one.
type reader struct {
	name    string
	gaps    *gaps
	builder *snapshot.Builder

	files    int
	cut      bool
	manifest *manifest
	machines map[string]bool
	kinds    map[snapshot.Kind]*sighting
	clock    clock
	objects  int
	layout   layout
	custom   customs
	// unknown counts objects by a kind that is not known.
	unknown map[unknownKind]int
}

// unknownKind is a kind that is not known, in the files of a support bundle that list a cluster or in
// others.
type unknownKind struct {
	kind               string
	inClusterResources bool
}

func newReader(name string, g *gaps) *reader {
	return &reader{
		name: name, gaps: g, builder: snapshot.NewBuilder(time.Time{}, snapshot.Source{Name: name}),
		machines: map[string]bool{}, kinds: map[snapshot.Kind]*sighting{}, unknown: map[unknownKind]int{},
		custom: customs{kinds: map[snapshot.Kind]*sighting{}, plurals: map[schema.GroupKind]string{}},
	}
}

// visit takes in one file.
func (r *reader) visit(e entry) error {
	r.files++
	place := placeOf(e.name)
	if place.role == roleOther {
		return nil
	}
	content, err := e.open()
	if err != nil {
		r.gaps.add(e.name, "could not be read: %s", "읽지 못했습니다: %s", plain(err))
		return nil
	}
	defer func() { _ = content.Close() }()
	r.layout.saw(place)
	switch place.role {
	case roleManifest:
		r.readManifest(e.name, content)
	case roleMachine:
		r.readMachine(e.name, place, content)
	case roleErrors:
		r.readErrors(place, content)
	case roleObjects:
		r.readObjects(e.name, place, content)
		if r.objects > maxObjects {
			return fmt.Errorf("it holds more than %d objects, which no bundle needs", maxObjects)
		}
	case roleOther:
	}
	return nil
}

func (r *reader) readManifest(name string, content io.Reader) {
	data, err := io.ReadAll(bounded(content, maxManifestBytes))
	if err == nil {
		var m *manifest
		if m, err = parseManifest(data); err == nil {
			r.manifest = m
			return
		}
	}
	r.gaps.add(name, "%s; the objects are read as if it were not there", "%s. 이 파일이 없는 것으로 보고 나머지를 읽습니다", err)
}

func (r *reader) readMachine(name string, p place, content io.Reader) {
	data, err := io.ReadAll(bounded(content, maxManifestBytes))
	if err == nil {
		var report snapshot.MachineReport
		if report, err = parseMachineReport(data, p.node); err == nil {
			cleanReport(report)
			r.builder.AddMachine(report)
			r.machines[report.Node] = true
			return
		}
	}
	r.gaps.add(name, "the machine's report is left out: %s", "이 머신의 보고서는 제외합니다: %s", err)
}

// readObjects takes in a file of objects. Where it breaks off, the kinds that it held are parts.
func (r *reader) readObjects(name string, p place, content io.Reader) {
	held := map[*sighting]bool{}
	hold := func(s *sighting) *sighting {
		held[s] = true
		return s
	}
	f := &objectFile{
		arrays: p.customResources,
		object: func(o snapshot.Object, inList bool) {
			k, ok := snapshot.KindOfObject(o)
			if !ok {
				return
			}
			if r.objects++; r.objects > maxObjects {
				return
			}
			hold(r.sighting(k)).object(o, inList, p)
			r.clock.see(o)
			r.custom.define(o)
			collect.Clean(o)
			r.builder.Add(o)
		},
		custom: func(o *snapshot.CustomResource, inList bool) {
			if r.objects++; r.objects > maxObjects {
				return
			}
			hold(r.custom.sighting(o.Kind.GroupVersionKind())).object(o, inList || p.customResources, p)
			r.clock.seeMeta(o)
			r.custom.objects = append(r.custom.objects, o)
		},
		list: func(kind schemaKind, more bool) {
			for s := range held {
				s.more = s.more || more
			}
			k, ok := snapshot.KindFor(kind)
			if !ok && len(held) == 0 {
				// kubectl prints an empty list as a List of nothing: only the file's name can say of what.
				k, ok = kindNamed(name)
			}
			switch {
			case ok:
				s := hold(r.sighting(k))
				s.list(p)
				s.more = s.more || more
			case mayBeCustom(kind):
				s := hold(r.custom.sighting(kind))
				s.list(p)
				s.more = s.more || more
			}
		},
		odd: func(o oddity) { r.odd(name, o) },
	}
	if err := f.read(&untilFull{content, &r.objects}); err != nil {
		r.gaps.add(name, "%s; what came before is used", "%s. 그 앞까지의 내용만 사용합니다", err)
		for s := range held {
			s.broken = name
		}
	}
}

// odd records a part of a file that is no object which a snapshot can hold.
func (r *reader) odd(name string, o oddity) {
	if o.kind != "" {
		r.unknown[unknownKind{o.kind, inClusterResources(name)}]++
		return
	}
	r.gaps.add(name, "%s: no Kubernetes object (%s), skipped", "%s: Kubernetes 객체가 아니므로 건너뜁니다 (%s)", o.where, short(o.err))
}

func (r *reader) sighting(k snapshot.Kind) *sighting {
	s, ok := r.kinds[k]
	if !ok {
		s = newSighting()
		r.kinds[k] = s
	}
	return s
}

// build ends the reading.
func (r *reader) build() *snapshot.Snapshot {
	moment, name := r.clock.moment(), r.name
	if m := r.manifest; m != nil {
		if !m.ObservedAt.IsZero() {
			moment = m.ObservedAt
		}
		r.builder.SetAPI(m.API)
		if m.Cluster != "" {
			name = m.Cluster
		}
		for node, reason := range m.UnreportedMachines {
			r.builder.AddUnreported(node, secret.Redact(reason))
		}
	}
	r.cover()
	r.addCustom()
	if moment.IsZero() {
		// Nothing can be told to have just begun, so everything counts as having lasted.
		moment = time.Unix(0, 0).UTC()
		r.gaps.add("", "nothing in the bundle says when it was taken, so no age can be told, and what may have just begun counts as having lasted", "언제 수집한 것인지 알 수 있는 시각이 없어 경과 시간을 알 수 없습니다. 방금 시작되었을 수 있는 것도 지속된 것으로 봅니다")
	}
	r.builder.SetTime(moment)
	r.builder.SetSource(snapshot.Source{Name: name})
	s := r.builder.Build()
	if r.manifest == nil {
		return s
	}
	return s.WithExpected(r.manifest.ExpectedNodes)
}

// cleanReport redacts what an agent read, which may be the words of any program.
func cleanReport(r snapshot.MachineReport) {
	for i := range r.Evidence {
		r.Evidence[i].Value = secret.Redact(r.Evidence[i].Value)
	}
	for i := range r.Gaps {
		r.Gaps[i].Reason = secret.Redact(r.Gaps[i].Reason)
	}
}
