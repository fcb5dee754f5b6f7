package tarindex

import (
	"io"
	"os"
	"slices"
)

// Prefetcher is implemented by archives that can fetch what will be read soon.
// [Build] uses it where members are so big that each header would cost a read
// of its own, and only with [Options.Predict]. An [os.File] need not implement
// it: the kernel is asked instead.
type Prefetcher interface {
	// Prefetch is told that the n bytes at each of the offsets, which ascend
	// and lie in the archive, are likely to be read, or as many as there are.
	// It returns without waiting for them.
	Prefetch(offsets []int64, n int)
}

const (
	firstBatch = 1024
	maxBatch   = 4096 // headers, each a page of memory if it is not there yet
	minBatch   = 16

	// fetched is how much is asked for: a header, even one with a plain
	// extended header before it, or the end mark.
	fetched = 3 * blockSize
)

// ahead asks for headers where they are likely to be. What it gets wrong costs
// time and nothing else: the scan goes by what it reads.
type ahead struct {
	to    Prefetcher
	sizes []int64 // of the members from number 1 on, as predicted
	batch int     // members to look ahead

	number int   // of the member that the scan should meet next
	at     int64 // and where; no more prediction if negative
	end    int   // the number up to which all was asked for
}

// lookAhead is called before the header at pos is read.
func (s *scanner) lookAhead(pos int64) {
	if s.ix.count == 1 && s.predict != nil {
		predict := s.predict
		s.predict = nil
		content, err := s.ix.Content(0)
		if err != nil {
			return // no regular file
		}
		s.ix.chunks[0].names = string(s.names)
		s.ahead = ahead{to: prefetcher(s.ix.r), sizes: predict(s.ix.Entry(0), content), batch: firstBatch, number: -1}
		n := min(len(s.ahead.sizes), chunkLen-1)
		s.ix.chunks[0].members = slices.Grow(s.ix.chunks[0].members, n)
	}
	if s.ahead.member(s.ix.count, pos, s.w.size) {
		s.w.want = minWindow // more than that was not asked for
	}
}

// prefetcher returns what fetches the bytes of r, or nil.
func prefetcher(r io.ReaderAt) Prefetcher {
	switch r := r.(type) {
	case Prefetcher:
		return r
	case *os.File:
		return filePrefetcher(r)
	}
	return nil
}

// member is called for each member before its header is read: the number and
// the offset of it, and where the archive ends. It reports whether headers were
// asked for.
func (a *ahead) member(number int, pos, size int64) (asked bool) {
	k := number - 1
	if a.to == nil || k < 0 || k >= len(a.sizes) {
		return false
	}
	switch {
	case number == a.number && pos == a.at:
		if number == a.end {
			a.batch = min(a.batch*2, maxBatch)
		}
	case a.number < 0: // the first
	default:
		// There is something that was not predicted, an extended header
		// perhaps. Go on from here, but not as far.
		if a.batch /= 4; a.batch < minBatch {
			a.to = nil
			return false
		}
		a.end = number
	}
	if number >= a.end {
		asked = a.ask(number, pos, size)
	}
	a.number = number + 1
	a.at = follow(pos, a.sizes[k], size)
	return asked
}

// follow returns where the header behind a member at pos is; -1 if that is not
// within the archive.
func follow(pos, stored, size int64) int64 {
	if pos < 0 || stored < 0 || stored > size-pos {
		return -1
	}
	return pos + blockSize + padded(stored)
}

// ask asks for the headers of the next batch, behind the member at pos. Those
// that come soon after another are read with it.
func (a *ahead) ask(number int, pos, size int64) bool {
	sizes := a.sizes[number-1:]
	sizes = sizes[:min(len(sizes), a.batch)]
	var offsets []int64
	for _, stored := range sizes {
		next := follow(pos, stored, size)
		if next < 0 || next > size-blockSize {
			break
		}
		if next-pos > dense {
			offsets = append(offsets, next)
		}
		pos = next
	}
	a.end = number + len(sizes)
	if len(offsets) <= 1 {
		return false
	}
	a.to.Prefetch(offsets, fetched)
	return true
}
