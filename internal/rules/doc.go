// Package rules holds rules about the whole module, as tests: which package
// may import what, who may print and exit, how long a file may be. It has no
// code of its own.
//
// A test that fails here names the file and the rule. Where the rule is wrong,
// change its table in the same commit, and ARCHITECTURE.md with it.
package rules
