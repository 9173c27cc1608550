package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Without leaves faults of a configuration out, by their numbers from 0, as in
// "1,3". The rest of the run is drawn as before.
func Without(cfg Config, numbers string) (Config, error) {
	if numbers == "" {
		return cfg, nil
	}
	var out []int
	for text := range strings.SplitSeq(numbers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n >= len(cfg.Faults) {
			return cfg, fmt.Errorf("seed %d has faults 0 to %d, not %q", cfg.Seed, len(cfg.Faults)-1, text)
		}
		out = append(out, n)
	}
	return leaveOut(cfg, out), nil
}

func leaveOut(cfg Config, numbers []int) Config {
	var faults []Fault
	for i, f := range cfg.Faults {
		if !slices.Contains(numbers, i) {
			faults = append(faults, f)
		}
	}
	cfg.Faults = faults
	return cfg
}

// Shrink leaves out every fault without which the run still fails, and returns
// the smaller run with the numbers left out, as Without reads them.
func Shrink(r Result) (smaller Result, numbers string) {
	smaller = r
	var out []int
	var texts []string
	for i := range r.Config.Faults {
		try := Run(leaveOut(r.Config, append(slices.Clone(out), i)), false)
		if len(try.Violations) > 0 {
			smaller, out = try, append(out, i)
			texts = append(texts, strconv.Itoa(i))
		}
	}
	return smaller, strings.Join(texts, ",")
}
