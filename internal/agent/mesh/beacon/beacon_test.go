package beacon

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestASealedBeaconIsReadAsItWas(t *testing.T) {
	key := KeyFor([]byte("secret"), "uid-1")
	for name, size := range map[string]int{"small": Size, "full size": 1472} {
		t.Run(name, func(t *testing.T) {
			want := Beacon{
				From: IDOf("uid-1"), Session: 1700000000, Number: 7, Stream: PodBig, Last: true, Interval: 2250 * time.Millisecond,
				Heard: [Streams]uint8{0, 100, Unknown, 40},
			}
			packet := make([]byte, size)
			want.Seal(packet, &key)
			got, err := Open(packet, &key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("beacon (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNotSealedForTheReceiverIsRefused(t *testing.T) {
	key := KeyFor([]byte("secret"), "uid-1")
	cases := map[string]struct {
		change func(packet []byte) []byte
		want   error
	}{
		"a number that was changed on the way": {func(p []byte) []byte { p[atNumber+3]++; return p }, ErrForged},
		"a stream that was changed on the way": {func(p []byte) []byte { p[atStream] ^= 1; return p }, ErrForged},
		"a seal that was changed on the way":   {func(p []byte) []byte { p[Size-1]++; return p }, ErrForged},
		"a packet cut short":                   {func(p []byte) []byte { return p[:Size-1] }, ErrMalformed},
		"a large packet cut to a small one":    {func(p []byte) []byte { return p[:Size] }, ErrMalformed},
		"another version":                      {func(p []byte) []byte { p[atVersion]++; return p }, ErrMalformed},
		"something else":                       {func([]byte) []byte { return []byte("GET / HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n\r\n") }, ErrMalformed},
		"a stream that there is not":           {func(p []byte) []byte { p[atStream] = byte(Streams); return p }, ErrMalformed},
		"nothing":                              {func([]byte) []byte { return nil }, ErrMalformed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			packet := make([]byte, 200)
			Beacon{From: IDOf("uid-1"), Session: 1, Number: 1}.Seal(packet, &key)
			if _, err := Open(tc.change(packet), &key); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

func TestKeysAreOfOneSenderAndOneReceiver(t *testing.T) {
	if KeyFor([]byte("a"), "uid-1") == KeyFor([]byte("b"), "uid-1") || KeyFor([]byte("a"), "uid-1") == KeyFor([]byte("a"), "uid-2") {
		t.Error("a key serves two pairs")
	}
}

func TestLossIsCountedOverWhatShouldHaveCome(t *testing.T) {
	start := time.Unix(1700000000, 0)
	type arrival struct {
		number  uint32
		session uint32
		after   time.Duration
		last    bool
	}
	row := func(numbers ...uint32) []arrival {
		var out []arrival
		for _, n := range numbers {
			out = append(out, arrival{number: n, session: 1, after: time.Duration(n) * time.Second})
		}
		return out
	}
	cases := map[string]struct {
		came []arrival
		now  time.Duration
		want float64
		of   int
	}{
		"nothing ever came":                       {now: time.Minute},
		"all came":                                {came: row(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), now: 12500 * time.Millisecond, of: 10},
		"one of ten is missing":                   {came: row(1, 2, 3, 4, 5, 6, 8, 9, 10), now: 10200 * time.Millisecond, want: 0.1, of: 10},
		"one was overtaken":                       {came: []arrival{{1, 1, 1e9, false}, {3, 1, 2e9, false}, {2, 1, 21e8, false}}, now: 2200 * time.Millisecond, of: 3},
		"half of them stopped coming":             {came: row(1, 2, 3, 4, 5, 6, 7, 8, 9, 10), now: 15600 * time.Millisecond, want: 0.5, of: 10},
		"all have been missing for long":          {came: row(1, 2, 3, 4, 5), now: time.Hour, want: 1, of: 10},
		"the sender said that no more would come": {came: []arrival{{1, 1, 1e9, false}, {2, 1, 2e9, true}}, now: time.Hour, of: 2},
		"the sender started anew":                 {came: append(row(1, 2, 3), arrival{1, 2, 20e9, false}), now: 20100 * time.Millisecond, of: 1},
		"what came before is not missed":          {came: row(40, 41, 42), now: 42100 * time.Millisecond, of: 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var w Window
			for _, a := range tc.came {
				if !w.Take(Beacon{Session: a.session, Number: a.number, Interval: time.Second, Last: a.last}, start.Add(a.after)) {
					t.Errorf("beacon %d of session %d was refused", a.number, a.session)
				}
			}
			loss, of := w.Loss(start.Add(tc.now), HostSmall.Span())
			if loss < tc.want-0.001 || loss > tc.want+0.001 || of != tc.of {
				t.Errorf("loss %.2f of %d, want %.2f of %d", loss, of, tc.want, tc.of)
			}
		})
	}
}

func TestRecordedBeaconsAreRefused(t *testing.T) {
	now := time.Unix(1700000000, 0)
	var w Window
	for _, n := range []uint32{1, 2, 3, 100} {
		w.Take(Beacon{Session: 5, Number: n, Interval: time.Second}, now)
	}
	for name, b := range map[string]Beacon{
		"the last one again":          {Session: 5, Number: 100},
		"one older than is kept":      {Session: 5, Number: 2},
		"one of a session that ended": {Session: 4, Number: 101},
	} {
		if w.Take(b, now) {
			t.Errorf("%s was taken", name)
		}
	}
	if w.Received != 4 || w.Repeated != 3 {
		t.Errorf("%d taken and %d refused, want 4 and 3", w.Received, w.Repeated)
	}
}

func FuzzOpen(f *testing.F) {
	key := KeyFor([]byte("secret"), "uid-1")
	packet := make([]byte, Size)
	Beacon{From: IDOf("uid-1"), Session: 1, Number: 1}.Seal(packet, &key)
	f.Add(packet)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Open(data, &key)
		if err == nil && b.Stream >= Streams {
			t.Errorf("stream %d was read", b.Stream)
		}
	})
}
