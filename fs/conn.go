package fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// conn is the connection to the kernel that a mount is served through. What the
// bytes of requests and replies mean is left to go-fuse, but for a few requests
// that come for each file. Conn reads them and decides who answers.
//
// One goroutine reads at a time, and answers by itself what takes no time: a
// program that does one thing after the other is then answered by one thread
// that stays on its processor. To wake another one takes longer than to open a
// file. Before an answer that may take time, another goroutine is given the
// reading, so that a disk, or a large read, holds up nobody else.
type conn struct {
	dev   *os.File
	fd    int // of dev, good as long as loops run
	guard *guard
	mount *mount
	proto *fuse.ProtocolServer
	debug bool // leave everything to go-fuse, which then logs it
	log   *slog.Logger

	reading sync.Mutex   // held by the goroutine that reads
	soon    bool         // the last request came soon; guarded by reading
	waiting atomic.Int32 // goroutines that want to
	loops   sync.WaitGroup
	large   buffers
	flags   atomic.Uint64 // what the kernel can do, as in its first request
	ready   chan struct{} // closed when that is answered
}

const (
	// requestSize is room for a request in bytes. The largest are those of
	// ioctl(2), of up to 16 KiB; the kernel fills the rest with nodes to forget.
	requestSize = 32 << 10

	// maxWrite is what the kernel is told of the size of writes, of which there
	// are none: it wants to see room for one in each buffer.
	maxWrite = 4 << 10

	// replySize is room for a reply in bytes, but for what the request itself
	// says is the most.
	replySize = 1 << 10

	// keptSize is the size in bytes of replies that each goroutine has room for.
	keptSize = 64 << 10
)

const (
	inHeaderSize  = int(unsafe.Sizeof(fuse.InHeader{}))
	outHeaderSize = int(unsafe.Sizeof(fuse.OutHeader{}))
)

// newConn returns a connection through the descriptor of /dev/fuse, which it
// takes over.
func newConn(fd int, g *guard, m *mount, opts *fuse.MountOptions, log *slog.Logger) *conn {
	return &conn{
		dev: os.NewFile(uintptr(fd), devFuse), fd: fd,
		guard: g, mount: m, proto: fuse.NewProtocolServer(g, opts), debug: opts.Debug, log: log,
		ready: make(chan struct{}),
	}
}

// run answers until there is nothing mounted any more.
func (c *conn) run() error {
	c.loops.Add(1)
	go c.serve()
	c.loops.Wait()
	return c.dev.Close()
}

// exchange is a request and its reply.
type exchange struct {
	conn *conn
	buf  [requestSize]byte
	in   []byte // the request, in buf
	out  []byte // room for a reply
	own  []byte // out, unless that is of conn.large
	got  int    // bytes of the reply that quick has read already
	open fuse.OpenOut
}

// serve answers requests as long as it is of use.
func (c *conn) serve() {
	defer c.loops.Done()
	x := &exchange{conn: c}
	for {
		c.waiting.Add(1)
		c.reading.Lock()
		c.waiting.Add(-1)
		more := x.next()
		if more && c.waiting.Load() == 0 {
			c.loops.Add(1)
			go c.serve()
		}
		c.reading.Unlock()
		if !more {
			return
		}
		x.answer()
		x.done()
		if int(c.waiting.Load()) > runtime.GOMAXPROCS(0) {
			return
		}
	}
}

// next reads requests and answers them, up to one whose answer may take time.
// It reports whether there is one: if not, nothing is mounted any more.
func (x *exchange) next() bool {
	for quick := false; ; quick = true {
		n, err := x.conn.read(x.buf[:], quick)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case errors.Is(err, unix.ENOENT): // who asked has gone
			continue
		case errors.Is(err, unix.ENODEV):
			return false
		case err != nil:
			x.conn.log.Error("no more requests can be read", "cause", err)
			return false
		case n < inHeaderSize:
			x.conn.log.Error("no more requests can be read", "cause", fmt.Errorf("a request of %d bytes", n))
			return false
		}
		x.in, x.got = x.buf[:n], 0
		if !x.quick() {
			return true
		}
		x.answer()
	}
}

// patience is for how long to look for a request that should come soon. To sleep
// and be woken by another processor takes as long.
const patience = 40 * time.Microsecond

// read reads the next request. If the last one was answered at once, and had come
// soon, it does not sleep at once: this is a program that does little else than
// ask. c.reading is held.
func (c *conn) read(buf []byte, quick bool) (int, error) {
	began := time.Now()
	for quick && c.soon {
		ready, _ := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, 0) // an error is read's as well
		if ready > 0 {
			return unix.Read(c.fd, buf)
		}
		c.soon = time.Since(began) < patience
	}
	began = time.Now()
	n, err := unix.Read(c.fd, buf)
	c.soon = time.Since(began) < 2*patience && runtime.NumCPU() > 1
	return n, err
}

// message returns the bytes as a message of the protocol, nil if they are too
// few for it.
func message[T any](b []byte) *T {
	if uintptr(len(b)) < unsafe.Sizeof(*new(T)) {
		return nil
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(b)))
}

func (x *exchange) header() *fuse.InHeader { return message[fuse.InHeader](x.in) }

// Requests that conn knows; all others are go-fuse's.
const (
	reqLookup      = 1
	reqForget      = 2
	reqGetattr     = 3
	reqOpen        = 14
	reqRead        = 15
	reqRelease     = 18
	reqGetxattr    = 22
	reqListxattr   = 23
	reqInit        = 26
	reqOpendir     = 27
	reqReaddir     = 28
	reqReleasedir  = 29
	reqInterrupt   = 36
	reqIoctl       = 39
	reqBatchForget = 42
	reqReaddirplus = 44
)

// quick reports whether the request is answered from memory.
func (x *exchange) quick() bool {
	switch h := x.header(); h.Opcode {
	case reqForget, reqBatchForget, reqRelease, reqReleasedir, reqInterrupt, reqInit:
		return true
	case reqLookup, reqGetattr, reqOpen, reqOpendir, reqReaddir, reqReaddirplus, reqGetxattr, reqListxattr:
		return x.conn.mount.inMemory(h.NodeId)
	case reqRead:
		in := message[fuse.ReadIn](x.in)
		if in == nil || in.Size > mostNow {
			return false
		}
		n, ok := x.conn.mount.readNow(in.Fh, x.room(int(in.Size)), in.Offset)
		x.got = n
		return ok
	}
	return false
}

// room returns room for the payload of a reply.
func (x *exchange) room(size int) []byte {
	if need := replySize + size; need > len(x.out) {
		if need <= keptSize {
			x.own = make([]byte, need)
			x.out = x.own
		} else {
			x.out = x.conn.large.get(need)
		}
	}
	return x.out[outHeaderSize:][:size]
}

// done gives back what a large reply took.
func (x *exchange) done() {
	if len(x.out) > keptSize {
		x.conn.large.put(x.out)
		x.out = x.own
	}
}

// buffers are buffers for large replies. The one that was used last is the next,
// as it is in the caches of the processor.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
}

func (b *buffers) get(size int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.free) - 1
	if last < 0 || size > len(b.free[last]) {
		return make([]byte, max(size, replySize+maxRead))
	}
	buf := b.free[last]
	b.free = b.free[:last]
	return buf
}

func (b *buffers) put(buf []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.free) < runtime.GOMAXPROCS(0) {
		b.free = append(b.free, buf)
	}
}

// answer answers the request.
func (x *exchange) answer() {
	h := x.header()
	if x.conn.debug || h.NodeId == pollHack {
		x.delegate()
		return
	}
	switch h.Opcode {
	case reqInterrupt:
		// Nothing here stops half-way. The kernel does not ask again.
		x.reply(0, fuse.ENOSYS)
	case reqOpen:
		if in := message[fuse.OpenIn](x.in); in != nil {
			x.open = fuse.OpenOut{}
			st := x.conn.guard.Open(nil, in, &x.open)
			if st == fuse.OK {
				x.push(h.NodeId, x.open.Fh)
			}
			size := int(unsafe.Sizeof(x.open))
			*message[fuse.OpenOut](x.room(size)) = x.open
			x.reply(size, st)
			return
		}
		x.reply(0, fuse.EINVAL)
	case reqRelease:
		if in := message[fuse.ReleaseIn](x.in); in != nil {
			x.conn.guard.Release(nil, in)
		}
		x.reply(0, fuse.OK)
	case reqRead:
		x.read()
	default:
		x.delegate()
	}
}

// pollHack is the node of a file that go-fuse makes up, see disablePoll.
const pollHack = 1<<64 - 1

func (x *exchange) read() {
	in := message[fuse.ReadIn](x.in)
	if in == nil {
		x.reply(0, fuse.EINVAL)
		return
	}
	if x.got > 0 {
		x.conn.guard.hasRead(x.got)
		x.reply(x.got, fuse.OK)
		return
	}
	dest := x.room(x.payload())
	res, st := x.conn.guard.Read(nil, in, dest)
	if st != fuse.OK {
		x.reply(0, st)
		return
	}
	data, st := res.Bytes(dest)
	if len(data) > 0 && &data[0] != &dest[0] {
		copy(dest, data)
	}
	x.reply(len(data), st)
}

// reply sends a reply with the first size bytes of the room, or an error.
func (x *exchange) reply(size int, st fuse.Status) {
	if st != fuse.OK {
		size = 0
	}
	x.room(size)
	*message[fuse.OutHeader](x.out) = fuse.OutHeader{Length: uint32(outHeaderSize + size), Status: -int32(st), Unique: x.header().Unique}
	x.send(x.out[:outHeaderSize+size])
}

// delegate has go-fuse answer.
func (x *exchange) delegate() {
	h := x.header()
	x.room(x.payload())
	if in := message[fuse.InitIn](x.in); h.Opcode == reqInit && in != nil {
		x.conn.flags.Store(in.Flags64())
	}
	n, st := x.conn.proto.HandleRequest([][]byte{x.in}, [][]byte{x.out})
	switch {
	case n > 0:
		if h.Opcode == reqInit {
			out := message[fuse.InitOut](x.out[outHeaderSize:n])
			if out != nil {
				out.MaxWrite = maxWrite
			}
		}
		x.send(x.out[:n])
	case st != fuse.OK:
		x.reply(0, st) // so that nobody waits for one
	}
	if h.Opcode == reqInit {
		close(x.conn.ready) // it comes once
	}
}

// payload returns the most bytes that the request wants to have.
func (x *exchange) payload() int {
	at := 0
	switch x.header().Opcode {
	case reqRead, reqReaddir, reqReaddirplus:
		at = int(unsafe.Offsetof(fuse.ReadIn{}.Size))
	case reqGetxattr, reqListxattr:
		at = inHeaderSize
	case reqIoctl:
		at = int(unsafe.Offsetof(fuse.IoctlIn{}.OutSize))
	}
	if at == 0 || at+4 > len(x.in) {
		return 0
	}
	return int(min(binary.NativeEndian.Uint32(x.in[at:]), maxRead+requestSize))
}

func (x *exchange) send(b []byte) {
	for {
		_, err := unix.Write(x.conn.fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV): // who asked, or the mount, has gone
			x.conn.log.Warn("a reply was not taken", "request", x.header().Opcode, "cause", err)
		}
		return
	}
}
