// Package space puts everything that can be browsed of a snapshot under one
// namespace: the merged view at the root, and the control directory ".snapfs"
// beside it.
//
//	/                        the merged view at the chosen point in time
//	/.snapfs/                there, but not in the listing of the root
//	  chain.json             layers, times, sizes, warnings
//	  meta.json              the newest metadata, decoded, without hashes of passwords
//	  status.json            what the program that serves the tree says of itself
//	  points/full points/0 … the merged view after each layer; latest is a link
//	  times/<time>           links to the points, by backup time
//	  layers/full layers/0 … what each tar holds by itself
//	  bolt/<file>/…          every Bolt file of the root as a tree
//	  influx/<db>/<rp>/<measurement>/
//	    <series>.lp          the points of a series, of all shards, as line protocol
//	    .fields.json         fields and their types
//	    .tags.json           tags and their values
//	  by-time/<day>/<db>/<rp>/<shard>  links to the shards of a day
//
// The files below influx are made while they are read, at the cost of a buffer,
// and said to have 0 bytes, as those in /proc: to know better means to make them.
// What goes by the size, such as rsync or tar, sees them empty. What cannot be
// read of a series is a comment in its file, which all the rest follows, and
// then the file ends in an error instead of its end.
//
// A bare Bolt file has its buckets at the root, and only status.json in the
// control directory.
//
// The whole is an io/fs tree, so that every door (the mount, the command line,
// restore) has the same paths.
package space
