//go:build race

package restore

// raceEnabled thins out tests that go through everything.
const raceEnabled = true
