// Package collect and the packages below it are Maek's only readers of clusters. Each fills a
// snapshot and answers the rules' follow-up questions: live from an API server, bundle from a
// folder or an archive on disk. Nothing after them knows which it was.
//
// This package holds what both must do alike, so that a bundle replays to the very incidents that
// the live cluster showed: what is taken out of an object before a snapshot holds it, and how the
// end of a container's log becomes the text of an answer.
package collect
