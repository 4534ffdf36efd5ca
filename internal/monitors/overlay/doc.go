// Package overlay watches what carries traffic between the pods of different machines: the devices of
// flannel and of other overlays, the bridges of pods, and the kernel's routes, neighbours and
// forwarding entries by which a machine sends to every other one. flannel writes these once, when a
// lease changes, and never again, so what is lost stays lost without a word in any log.
package overlay
