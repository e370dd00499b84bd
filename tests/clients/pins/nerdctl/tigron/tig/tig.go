// Package tig stands in for nerdctl's own test helper of that name, which is published nowhere as a module of its own:
// nerdctl's command refers to this one interface only.
package tig

// T is the part of testing.T that nerdctl's command mentions.
type T interface {
	Helper()
	FailNow()
	Fail()
	Log(args ...any)
	Name() string
	TempDir() string
}
