package influx_test

import (
	"testing"

	"github.com/snapfs/snapfs/influx"
)

func TestNumber(t *testing.T) {
	for _, tt := range []struct {
		v    influx.Value
		want float64
		ok   bool
	}{
		{influx.FloatValue(-1.5), -1.5, true}, {influx.IntegerValue(-7), -7, true}, {influx.BooleanValue(true), 1, true},
		{influx.BooleanValue(false), 0, true}, {influx.StringValue([]byte("3")), 0, false}, {influx.Value{}, 0, false},
	} {
		if got, ok := tt.v.Number(); got != tt.want || ok != tt.ok {
			t.Errorf("%v: %v, %v", tt.v, got, ok)
		}
	}
}
