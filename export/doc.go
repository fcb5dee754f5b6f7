// Package export writes the points of a [dataset.Set] for other programs: as
// line protocol, CSV, JSON Lines or Parquet into a stream or files, or over HTTP
// into a database that runs.
//
// # Order
//
// Series come in the order of databases, policies and the bytes of their keys,
// the points of one in the order of time, each once. The same data and options
// give the same bytes, however many cores work on them.
//
// # Formats
//
// [LineProtocol] begins with what "influx -import" takes: under "# DDL" the
// statements that make databases and policies, under "# DML" the points, with a
// line for each change of the database or policy that they go to. Policies are
// made without a duration, unless [Options.KeepDurations] is set: the data are
// old, and a server refuses points that are older than the policy's duration.
// [Options.LinesOnly] leaves all but the points out. Line protocol has no escape
// for a line break in a string: "/write" takes such strings, "influx -import"
// does not, so that [Report.LineBreaks] counts them.
//
// [CSV] has a row for each field of a point, after a row with the names of the
// columns:
//
//	database,policy,measurement,tags,time,field,type,value
//
// tags are written as in a series key, "a=b,c=d" with backslashes before commas,
// blanks and equals signs; type is float, integer, boolean or string.
//
// [JSONLines] has an object for each point:
//
//	{"database":"d","policy":"p","measurement":"m","tags":{"k":"v"},"time":1,"fields":{"f":1.0,"i":42,"b":true,"s":"x"}}
//
// A number with a point or an exponent is a float, one without is an integer,
// which may need all of 64 bits. Bytes that are not UTF-8 become the escapes
// \udc80 to \udcff, as Python's "surrogateescape" has them.
//
// [Parquet] has a file for each measurement of a policy: [ToFiles] makes
// DATABASE/POLICY/MEASUREMENT.parquet below [Files.Name], with names
// percent-encoded as in the mount, or the one file of that name if it ends in
// .parquet; with [Files.SplitSize] it is MEASUREMENT.0001.parquet, …, each with
// all columns. The columns are time (a timestamp in UTC), tags (strings) and
// fields (double, int64, boolean, string), those of fields and tags null where a
// point has none. A field whose type is not the same in all shards has a column
// for each type: value_float, value_integer. Where columns would have one name,
// the later is told apart by "_tag" or "_field", then by a number; under
// "snapfs.columns" the file's metadata has a JSON array that tells for each
// column what it is. Bytes that are not UTF-8 become U+FFFD, and are counted in
// [Report.Unwritable]. Row groups have up to 64 MiB before compression, which is
// Snappy unless another is asked for.
//
// Times are integers since 1970 in the unit of [Options.Precision], cut towards
// the past.
//
// # What cannot be written
//
// What cannot be read, and what a format has no way to write, is left out and
// counted in the [Report], with the first of the errors. Nothing else is left
// out.
package export
