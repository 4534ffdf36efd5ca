// Package beacon is the form of the mesh's one-way packets and the account that their receiver keeps.
// Only one-way packets with sequence numbers, counted where they arrive, tell in which direction a
// path is broken: requests and answers fail alike whichever half is cut.
package beacon

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"
)

// Size of a small beacon in bytes. It stays far below any path's MTU.
const Size = 48

// Version of the packet's form. Packets of another are not read.
const Version = 1

// Magic is what a packet begins with, big-endian.
const Magic = 0x4dbe

// Stream is one of the rows of beacons that a sender numbers by itself.
type Stream uint8

// The streams between two machines, in one direction.
const (
	// HostSmall goes to the machine's own address.
	HostSmall Stream = iota
	// HostBig fills the MTU of the machines' network and must not be fragmented.
	HostBig
	// PodSmall goes to an address of the pod network that lives on the machine.
	PodSmall
	// PodBig fills the MTU of the pod network and must not be fragmented.
	PodBig
	// Streams counts them.
	Streams
)

// Big tells whether a stream's beacons fill the path's MTU.
func (s Stream) Big() bool { return s == HostBig || s == PodBig }

// Pod tells whether a stream crosses the pod network.
func (s Stream) Pod() bool { return s == PodSmall || s == PodBig }

// ID is by which a sender is found before anything is computed.
type ID [8]byte

// IDOf a machine, from the UID of its node.
func IDOf(uid string) ID {
	sum := sha256.Sum256([]byte("maek mesh sender\x00" + uid))
	return ID(sum[:8])
}

// Key seals the beacons of one sender to one receiver.
type Key [sha256.Size]byte

// KeyFor is the key that a receiver, who alone knows the secret, gives to the machine with a UID. It
// needs not be kept: it can be made again.
func KeyFor(secret []byte, uid string) Key {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("maek mesh beacon\x00" + uid))
	return Key(mac.Sum(nil))
}

// Unknown is the Heard of a stream about which the sender can say nothing.
const Unknown = 255

// Beacon is one packet.
type Beacon struct {
	// From is who sent it.
	From ID
	// Session is when the sender's process started, in seconds since 1970: numbers start anew with it.
	Session uint32
	// Number within session and stream, from 1.
	Number uint32
	// Stream that it belongs to.
	Stream Stream
	// Last tells that no other will follow: the sender stops, or has no more reason to send.
	Last bool
	// Interval until the next of its stream.
	Interval time.Duration
	// Heard is what part of the receiver's own beacons the sender misses, by stream, in percent, 0 to
	// 100, or Unknown.
	Heard [Streams]uint8
}

// The fields' places. The end of a big beacon is padding.
const (
	atVersion   = 2
	atStream    = 3
	atFrom      = 4
	atSession   = 12
	atNumber    = 16
	atInterval  = 20
	atLength    = 24
	atHeard     = 28
	atMAC       = 32
	lastFlag    = 0x80
	maxInterval = time.Duration(1<<32-1) * time.Millisecond
)

// Why a packet is not read.
var (
	ErrMalformed = errors.New("it is no beacon")
	ErrForged    = errors.New("its seal does not fit")
)

// Seal writes a beacon into a packet, which is as long as the packet is to be, at least Size.
func (b Beacon) Seal(packet []byte, key *Key) {
	clear(packet)
	binary.BigEndian.PutUint16(packet, Magic)
	packet[atVersion] = Version
	packet[atStream] = byte(b.Stream)
	if b.Last {
		packet[atStream] |= lastFlag
	}
	copy(packet[atFrom:], b.From[:])
	binary.BigEndian.PutUint32(packet[atSession:], b.Session)
	binary.BigEndian.PutUint32(packet[atNumber:], b.Number)
	binary.BigEndian.PutUint32(packet[atInterval:], uint32(min(max(b.Interval, 0), maxInterval)/time.Millisecond)) //nolint:gosec // bounded by maxInterval
	binary.BigEndian.PutUint32(packet[atLength:], uint32(len(packet)))                                             //nolint:gosec // a packet is shorter than 64 KiB
	copy(packet[atHeard:], b.Heard[:])
	copy(packet[atMAC:Size], seal(packet, key))
}

// Sender reads who a packet says it is from, at next to no cost.
func Sender(packet []byte) (ID, error) {
	if len(packet) < Size || binary.BigEndian.Uint16(packet) != Magic || packet[atVersion] != Version ||
		Stream(packet[atStream]&^lastFlag) >= Streams || binary.BigEndian.Uint32(packet[atLength:]) != uint32(len(packet)) { //nolint:gosec // a packet is shorter than 64 KiB
		return ID{}, ErrMalformed
	}
	return ID(packet[atFrom:atSession]), nil
}

// Open reads a packet that was sealed with a key.
func Open(packet []byte, key *Key) (Beacon, error) {
	from, err := Sender(packet)
	if err != nil {
		return Beacon{}, err
	}
	if !hmac.Equal(packet[atMAC:Size], seal(packet, key)) {
		return Beacon{}, ErrForged
	}
	return Beacon{
		From:     from,
		Session:  binary.BigEndian.Uint32(packet[atSession:]),
		Number:   binary.BigEndian.Uint32(packet[atNumber:]),
		Stream:   Stream(packet[atStream] &^ lastFlag),
		Last:     packet[atStream]&lastFlag != 0,
		Interval: time.Duration(binary.BigEndian.Uint32(packet[atInterval:])) * time.Millisecond,
		Heard:    [Streams]uint8(packet[atHeard:atMAC]),
	}, nil
}

// seal of a packet's fields; the padding carries nothing and is not covered but for its length.
func seal(packet []byte, key *Key) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write(packet[:atMAC])
	return mac.Sum(nil)[:Size-atMAC]
}
