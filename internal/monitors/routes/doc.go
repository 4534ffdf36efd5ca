// Package routes watches where a machine sends its packets: its default routes and whether their next
// hops answer, the routes of its main table, and which hardware addresses it has for the hosts around it.
// It stands for route -n and ip neigh. Routes into overlays are told by package overlay.
package routes
