// Package serve answers requests for snapshots as servers of InfluxDB 0.9 did:
// those of final releases over TCP, those of release candidates over HTTP. What
// it answers with is an [origin.Origin].
//
// Nobody has to say who they are: who can connect gets everything. Listen on the
// loopback interface, unless something else keeps strangers out.
//
// Clients are not trusted. How long they may take to ask and to receive is
// bounded, and so are the size of what they send, the number of connections and
// the number of copies at a time. Those who come while all copies are taken wait
// for a while, since the old client takes a closed connection for success.
//
// The protocol over TCP has no way to tell an error. A connection is reset where
// the old servers closed it, unless the request itself was wrong, and the tar
// lacks its end mark.
package serve
