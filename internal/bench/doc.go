// Package bench measures snapfs beside what one would do without it.
//
// [Workloads] are chains of tars, made by the package itself. A [Subject] is a
// way to get at the files in them: a mount by snapfs, a mount by another
// program, or the files extracted beforehand. [Run] takes every subject in
// turn, several times, another one first each time, and so measures each beside
// its baselines while the machine is in the same mood. A figure is the median
// of all rounds; what counts are the ratios.
package bench
