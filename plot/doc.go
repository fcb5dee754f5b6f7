// Package plot draws series: as braille in a terminal, or as a picture.
//
// A [Line] is made from points as they come, in two rounds: a [Range] finds out
// what there is, and a Line then keeps the lowest and highest value of each
// column of the chart. So a chart of years of data takes no more memory than
// one of an hour, and no peak is lost.
package plot
