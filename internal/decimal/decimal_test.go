package decimal

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// checkFloat compares with strconv, behind bytes that must stay.
func checkFloat(t *testing.T, v float64) {
	t.Helper()
	format := byte('f')
	if a := math.Abs(v); a < 1e-6 && a != 0 || a >= 1e21 {
		format = 'e'
	}
	if got, want := string(AppendFloat([]byte("x="), v)), "x="+strconv.FormatFloat(v, format, -1, 64); got != want {
		t.Fatalf("%x: %s, want %s", math.Float64bits(v), got, want)
	}
}

func checkInt(t *testing.T, v int64) {
	t.Helper()
	if got, want := string(AppendInt([]byte("x="), v)), "x="+strconv.FormatInt(v, 10); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	if got, want := string(AppendUint(nil, uint64(v))), strconv.FormatUint(uint64(v), 10); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

// TestEdges tries all that is next to a power of 2 or 10.
func TestEdges(t *testing.T) {
	for e := -330; e <= 310; e++ {
		v, _ := strconv.ParseFloat("1e"+strconv.Itoa(e), 64) // out of range is 0 or infinite
		for _, factor := range []float64{1, 2, 5, 0.5, 9.999999, 1.000001} {
			x := v * factor
			for _, x := range []float64{x, math.Nextafter(x, 0), math.Nextafter(x, math.Inf(1))} {
				checkFloat(t, x)
				checkFloat(t, -x)
			}
		}
	}
	for e := range 64 {
		for d := int64(-2); d <= 2; d++ {
			checkInt(t, 1<<e+d)
			checkFloat(t, float64(int64(1)<<e+d))
		}
	}
	for p := int64(1); p <= 1e18; p *= 10 {
		for d := int64(-2); d <= 2; d++ {
			for f := int64(1); f <= 9; f++ {
				checkInt(t, p*f+d)
				checkInt(t, -p*f+d)
			}
			if p == 1e18 {
				break
			}
		}
	}
	for _, v := range []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1 + 0.2, 999999999.9995, 999999999.999999, 1e9 - 1e-6} {
		checkFloat(t, v)
	}
	checkInt(t, math.MinInt64)
	checkInt(t, math.MaxInt64)
}

// TestDecimals tries decimals of up to 17 digits, and the floats next to them.
func TestDecimals(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 50_000 {
		v := float64(r.Int64N(int64(math.Pow10(1 + r.IntN(17)))))
		v /= math.Pow10(r.IntN(12))
		checkFloat(t, v)
		checkFloat(t, math.Nextafter(v, r.NormFloat64()))
		checkFloat(t, -v)
		checkFloat(t, math.Float64frombits(r.Uint64()))
		checkInt(t, int64(r.Uint64()>>r.IntN(64)))
	}
}

func FuzzAppend(f *testing.F) {
	f.Add(uint64(0))
	f.Add(math.Float64bits(12.625))
	f.Add(math.Float64bits(999999.999999))
	f.Fuzz(func(t *testing.T, bits uint64) {
		checkFloat(t, math.Float64frombits(bits))
		checkFloat(t, float64(int64(bits))/1e3)
		checkFloat(t, float64(bits>>20)/1e6)
		checkInt(t, int64(bits))
	})
}

// BenchmarkAppend writes values of few digits, values of all digits, and times,
// beside strconv.
func BenchmarkAppend(b *testing.B) {
	var short, long [1024]float64
	var times [1024]int64
	for i := range short {
		short[i], long[i], times[i] = float64(i*37%1000)/8, math.Sqrt(float64(i)+0.5), 1434055560000000000+int64(i)*10e9
	}
	buf := make([]byte, 0, 64)
	run := func(name string, f func(i int) []byte) {
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				buf = f(i & 1023)[:0]
				i++
			}
		})
	}
	run("short", func(i int) []byte { return AppendFloat(buf, short[i]) })
	run("short-strconv", func(i int) []byte { return strconv.AppendFloat(buf, short[i], 'f', -1, 64) })
	run("long", func(i int) []byte { return AppendFloat(buf, long[i]) })
	run("long-strconv", func(i int) []byte { return strconv.AppendFloat(buf, long[i], 'f', -1, 64) })
	run("time", func(i int) []byte { return AppendInt(buf, times[i]) })
	run("time-strconv", func(i int) []byte { return strconv.AppendInt(buf, times[i], 10) })
}
