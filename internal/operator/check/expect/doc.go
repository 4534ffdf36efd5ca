// Package expect holds what was answered against what a Check expects, and says in one word and one
// sentence where the two part.
//
// It is pure: the same spec and the same answer give the same result. What it quotes of an answer is short,
// printable and without what looks like a credential, for a Check's status is read by more people than the
// answers of its target.
package expect
