// Package chain opens a chain of InfluxDB 0.9 backups and shows it as it was at
// any of its points in time.
//
// The words:
//
//   - A layer is one tar file: PATH is the full snapshot, PATH.0, PATH.1, … are
//     the incrementals. A layer that is cut short or empty is still a layer.
//   - A manifest is the first member of a layer: a list of the files that the
//     server put into it, each with its size and either the time of its last
//     change (final releases) or the raft index of it (release candidates).
//     That choice is the dialect of the chain.
//   - A point is the state after a layer was taken. It has the name of that
//     layer: "full", "0", "1", …; "latest" is the newest.
//   - A [View] is what the layers up to a point add up to: for each name the
//     copy with the newest manifest entry. It is an io/fs tree.
//
// [Open] reads every tar header and every manifest, nothing else. Contents are
// read when a file of a view is, straight from the tar.
//
// The rules of the merge are those of the servers' own restore, found by
// reading them and by watching them: a copy replaces an older one only if it is
// strictly newer, so that on a tie the earlier layer keeps its copy; no layer
// says that a file is gone. A tar without a manifest is taken as it is: its
// members replace those of earlier layers.
//
// What is odd about a chain but can be lived with is a [Warning], never an
// error and never printed.
package chain
