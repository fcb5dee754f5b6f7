package serve

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/snapfs/snapfs/backup/wire"
)

// HTTP returns a server for the HTTP door, which answers [wire.Path] and nothing
// else. The caller makes it serve, and closes it.
func (s *Server) HTTP() *http.Server {
	mux := http.NewServeMux()
	mux.Handle(wire.Path, s)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { notFound(w) })
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: s.opts.RequestTimeout,
		IdleTimeout:       s.opts.RequestTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelWarn),
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	log := s.opts.Log.With("client", r.RemoteAddr, "door", "http")
	begin := time.Now()
	control := http.NewResponseController(w)
	switch {
	case s.opts.Disabled:
		log.Warn("request refused", "reason", disabled)
		notFound(w)
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	if err := control.SetReadDeadline(begin.Add(s.opts.RequestTimeout)); err != nil {
		s.refuse(w, log, http.StatusInternalServerError, err)
		return
	}
	known, err := wire.ReadRequest(r.Body, s.opts.MaxManifest)
	switch {
	case err == io.EOF: // nothing is known
	case errors.Is(err, wire.ErrTooLarge):
		s.refuse(w, log, http.StatusRequestEntityTooLarge, err)
		return
	case err != nil:
		s.refuse(w, log, http.StatusBadRequest, &previousError{err})
		return
	}
	// From here on the client has nothing more to say. A deadline that passes would
	// be taken for its end by net/http, which watches the connection meanwhile.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		s.refuse(w, log, http.StatusInternalServerError, err)
		return
	}
	done, err := s.turn(r.Context())
	if err != nil {
		w.Header().Set("Retry-After", "60")
		s.refuse(w, log, http.StatusServiceUnavailable, err)
		return
	}
	defer done()
	c, err := s.origin.Begin(r.Context(), known)
	if err != nil {
		s.refuse(w, log, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	p := &patient{write: w.Write, deadline: control.SetWriteDeadline, timeout: s.opts.StallTimeout}
	var out io.Writer = p
	var zip *gzip.Writer
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		zip, _ = gzip.NewWriterLevel(p, gzip.BestSpeed) // a level that there is
		out = zip
	}
	err = c.Write(r.Context(), out)
	if err == nil && zip != nil {
		err = zip.Close()
	}
	err = errors.Join(err, c.Close())
	if err != nil && p.n == 0 {
		w.Header().Del("Content-Encoding")
		s.refuse(w, log, http.StatusInternalServerError, err)
		return
	}
	s.finished(log, begin, c, p.n, err)
	if err != nil {
		// The client must not take what it has for the whole; this is how net/http
		// breaks a connection off.
		panic(http.ErrAbortHandler)
	}
}

// previousError is how the old servers said it.
type previousError struct{ error }

func (e *previousError) Error() string { return "error reading previous snapshot: " + e.error.Error() }
func (e *previousError) Unwrap() error { return e.error }

func (s *Server) refuse(w http.ResponseWriter, log *slog.Logger, code int, err error) {
	log.Error("request refused", "code", code, "reason", err)
	writeError(w, code, err.Error())
}

func notFound(w http.ResponseWriter) { writeError(w, http.StatusNotFound, "not found") }

func writeError(w http.ResponseWriter, code int, text string) {
	b, err := json.Marshal(map[string]string{"error": text})
	if err != nil {
		panic(http.ErrAbortHandler) // no string does that
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(b) // the client is gone, then
}
