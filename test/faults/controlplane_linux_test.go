package faults

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maek-dev/maek/test/faults/controlplane"
)

// applicationManifest is the lab's, so that faults meet the same application everywhere.
const applicationManifest = "../../lab/internal/addon/manifests/shop.yaml"

// watchAtMost is how long a negative control is looked at here, where nothing else goes on.
const watchAtMost = 45 * time.Second

// settled is a world in which scenarios are played one after another.
type settled struct {
	*controlplane.World
	names     map[string]string
	authority string // OTHER_CA, which no recording needs
}

func (s *settled) expand(name string) string {
	if name == "OTHER_CA" {
		return s.authority
	}
	if value, ok := s.names[name]; ok {
		return value
	}
	return "${" + name + "}"
}

func TestOnControlPlanes(t *testing.T) {
	if *assets == "" || *maekBinary == "" {
		t.Skip("needs the programs of a control plane: make test-faults-controlplane builds them and runs this")
	}
	scenarios, err := Load(".", func(name string) string { return "${" + name + "}" })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d", *seed)
	dir := t.TempDir()
	slots := make(chan *slot, *worlds)
	all := make([]*slot, *worlds)
	for i := range all {
		all[i] = &slot{index: i, dir: dir}
		slots <- all[i]
	}
	t.Cleanup(func() {
		for _, s := range all {
			s.clear(t)
		}
	})
	// Those that take longest go first, so that none of them is waited for alone at the end.
	slices.SortStableFunc(scenarios, func(a, b Scenario) int { return cmp.Compare(b.TellWithin.Duration, a.TellWithin.Duration) })
	// Each world is busy waiting most of the time: what bounds it is their number, not the processors.
	t.Run("scenario", func(t *testing.T) {
		for i, s := range scenarios {
			if _, ok := s.Truth[ControlPlane]; !ok || !chosen(s.Name) {
				continue
			}
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				slot := <-slots
				defer func() { slots <- slot }()
				slot.play(t, s, rand.New(rand.NewPCG(*seed, uint64(i))))
			})
		}
	})
}

// slot is a place for a world: its addresses.
type slot struct {
	index int
	dir   string
	count int
	world *settled
}

func (s *slot) clear(t *testing.T) {
	t.Helper()
	if s.world == nil {
		return
	}
	if err := s.world.Stop(); err != nil {
		t.Errorf("stopping a control plane: %v", err)
	}
	s.world = nil
}

// settle makes a world with everything in it.
func (s *slot) settle(t *testing.T, o *WorldOptions, draw *rand.Rand) {
	t.Helper()
	s.clear(t)
	s.count++
	dir := filepath.Join(s.dir, fmt.Sprintf("%d-%d", s.index, s.count))
	options := controlplane.Options{Assets: *assets, Dir: dir, Index: s.index}
	if o != nil {
		options.Members, options.Flags, options.SmallServiceRange = o.EtcdMembers, o.Flags, o.SmallServiceRange
	}
	application, err := os.ReadFile(applicationManifest)
	if err != nil {
		t.Fatal(err)
	}
	shop := []string{"shop", "store", "market", "bakery"}[draw.IntN(4)]
	world, err := controlplane.Start(t.Context(), options)
	if err != nil {
		t.Fatalf("starting a control plane: %v", err)
	}
	s.world = &settled{World: world, names: map[string]string{"SHOP": shop, "CONTROL_PLANE": "cp", "DNS": world.ServiceAddress(10), "APISERVER": strings.TrimPrefix(world.APIServerURL(), "https://")}, authority: otherAuthority(t)}
	if err := world.Baseline(t.Context(), string(application), shop); err != nil {
		t.Fatalf("making the baseline: %v", err)
	}
}

// play takes a world from green through the fault and back.
func (s *slot) play(t *testing.T, scenario Scenario, draw *rand.Rand) {
	t.Helper()
	s.makeGreen(t, scenario.Script.World, draw)
	s.name(t, draw)
	scenario, err := Read(scenario.Dir, s.world.expand)
	if err != nil {
		t.Fatal(err)
	}
	h := &hand{world: s.world}
	defer s.restore(t, h, scenario)
	if err := h.do(t.Context(), scenario.Script.Inject); err != nil {
		t.Fatalf("injecting: %v", err)
	}
	b := s.bench(t, scenario.Script.As)
	arm(b, h, scenario)
	looks := []*look{{env: ControlPlane, truth: scenario.Truth[ControlPlane]}}
	if scenario.Watch.Duration > 0 {
		scenario.Watch.Duration = min(scenario.Watch.Duration, watchAtMost)
		b.watch(scenario, looks)
		b.keep(scenario, looks[0])
	} else {
		b.tell(scenario, looks)
	}
}

// makeGreen sees to it that there is a healthy world: the one that is there, or a new one where the
// scenario wants its own or the last one did not recover.
func (s *slot) makeGreen(t *testing.T, own *WorldOptions, draw *rand.Rand) {
	t.Helper()
	if s.world != nil && own == nil {
		err := s.bench(t, "").isGreen(ControlPlane)
		if err == nil {
			return
		}
		t.Logf("a new control plane, because this one does not recover: %v", err)
	}
	s.settle(t, own, draw)
	if err := s.bench(t, "").isGreen(ControlPlane); err != nil {
		s.clear(t)
		t.Fatalf("not green before: %v", err)
	}
}

// name draws the names of a scenario.
func (s *slot) name(t *testing.T, draw *rand.Rand) {
	t.Helper()
	worker := draw.IntN(2)
	s.world.names["WORKER"], s.world.names["OTHER"] = []string{"w1", "w2"}[worker], []string{"w2", "w1"}[worker]
	cidr, err := s.world.PodCIDR(s.world.names["WORKER"])
	if err != nil {
		t.Fatal(err)
	}
	s.world.names["WORKER_POD_CIDR"] = cidr
	t.Logf("names %v", s.world.names)
}

// arm waits until the fault is live.
func arm(b *bench, h *hand, scenario Scenario) {
	b.t.Helper()
	began := time.Now()
	var missing error
	if err := b.poll(scenario.ArmWithin.Duration, 500*time.Millisecond, func(ctx context.Context) bool {
		err := h.hold(ctx, scenario.Script.Armed)
		if err == nil || ctx.Err() == nil {
			missing = err
		}
		return err == nil
	}); err != nil {
		b.t.Fatalf("void: the fault is not live %s after it was injected: %v", time.Since(began).Round(time.Second), missing)
	}
	b.t.Logf("armed after %s", time.Since(began).Round(time.Second))
}

// restore takes the fault back, or the whole world where it was the scenario's own or where Maek did
// not tell the truth about it.
func (s *slot) restore(t *testing.T, h *hand, scenario Scenario) {
	t.Helper()
	if scenario.Script.World != nil {
		s.clear(t)
		return
	}
	err := h.undo(context.WithoutCancel(t.Context()), scenario.Script.Restore)
	if err != nil {
		t.Errorf("restoring: %v", err)
	}
	if t.Failed() {
		s.clear(t)
		return
	}
	if err := s.bench(t, "").isGreen(ControlPlane); err != nil {
		t.Errorf("not green after: %v", err)
		s.clear(t)
	}
}

// otherAuthority is a certificate authority, in PEM and base64, that has signed nothing here.
func otherAuthority(t *testing.T) string {
	t.Helper()
	pem, err := controlplane.NewCertificateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem)
}

// bench is the world as a user sees it; an administrator when empty.
func (s *slot) bench(t *testing.T, user string) *bench {
	t.Helper()
	path := s.world.Kubeconfig
	if user != "" {
		var err error
		if path, err = s.world.KubeconfigOf(user); err != nil {
			t.Fatal(err)
		}
	}
	return &bench{t: t, maek: *maekBinary, environ: append(os.Environ(), "KUBECONFIG="+path), names: s.world.names}
}
