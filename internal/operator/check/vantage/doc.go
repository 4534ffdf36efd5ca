// Package vantage asks the questions of Checks: from where this program runs ([Here]), or from every node that
// has an agent ([Nodes]).
//
// What cannot be asked is told apart from what fails: an agent that does not answer, a node that is away or a
// run that was ended say nothing about the target.
package vantage
