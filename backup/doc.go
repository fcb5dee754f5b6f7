// Package backup adds layers to a chain: it asks a [Source] for what is newer
// than the chain, checks the answer while it comes in, and gives it the next
// name of the chain.
//
// The words are those of package chain. A chain that has no full snapshot yet
// gets one; otherwise the source is told the merged manifest of the chain, and
// sends an incremental.
//
// Sources are servers that speak the protocol of InfluxDB 0.9, [TCP] for final
// releases and [HTTP] for release candidates, and what package origin reads
// from a directory or a chain on this machine.
//
// # What can go wrong
//
// An answer has neither a length nor a checksum, and a server that fails just
// closes the connection. So an answer is taken only if it is a whole tar with
// its end mark, the first member is a manifest of the dialect of the chain, and
// the members are the files of that manifest, in their order and of their sizes.
// Whatever happens before that, the chain is as before, no number is used up,
// and nothing is left behind. A process that is killed leaves PATH.pending, and
// PATH.retry.pending if it had asked again, which readers of chains leave out, and
// the next one removes.
//
// Each Bolt file of the answer is checked as well. One that is torn is no reason
// to refuse the rest: servers of 0.9 tear files that are written to, and all that
// they held can be read out of them, see package boltview. [Result.Torn] tells,
// and [Options.RetryTorn] asks again.
package backup
