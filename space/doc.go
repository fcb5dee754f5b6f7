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
//
// A bare Bolt file has its buckets at the root, and only status.json in the
// control directory.
//
// The whole is an io/fs tree, so that every door (the mount, the command line,
// restore) has the same paths.
package space
