// Package restore copies a tree into a directory, safely.
package restore
