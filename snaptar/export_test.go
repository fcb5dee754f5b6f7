package snaptar

import "bytes"

// Buffered returns all that w has written to out, what is in its buffer as well.
func Buffered(w *Writer, out *bytes.Buffer) []byte {
	if err := w.buf.Flush(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
