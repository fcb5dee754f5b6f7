// Package doctor finds snapshots, tells what is wrong with them, and what can be
// had of them all the same.
//
// # Words
//
// A [Finding] is one thing that is worth to be told. It has a stable [Code] and
// a [Level]: an error means that data are lost or in doubt, a warning that
// something is not as servers write it though nothing is lost, a note that
// something is as servers write it but may surprise. A snapshot is sound if it
// has nothing but notes.
//
// A [Verdict] says of a point in time whether it can be restored: whole, with a
// loss that is named, or not at all.
//
// # Use
//
// [Find] looks for snapshots in files and directories. [Examine] looks at one,
// as deep as [Options.Depth] says: from headers and metas only, through every
// page of every Bolt file, to every point. All that there is to check is checked
// there and nowhere else, whatever command asks.
//
// Nothing is ever written. What cannot be read is a finding, not an error.
package doctor
