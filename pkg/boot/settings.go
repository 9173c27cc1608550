package boot

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// EnvPrefix begins the name of every flag's environment variable.
const EnvPrefix = "NOTSALE_"

// EnvName returns the environment variable of a flag: "sale-every" is
// NOTSALE_SALE_EVERY.
func EnvName(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// FromEnvironment sets every flag that was not given on the command line from
// its environment variable, where there is one.
func FromEnvironment(flags *pflag.FlagSet, lookup func(string) (string, bool)) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		value, found := lookup(EnvName(f.Name))
		if f.Changed || !found {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s=%q: %w", EnvName(f.Name), value, err))
		}
	})
	return errors.Join(errs...)
}

// Secret returns a setting that must not be an argument: the environment variable
// name, or the content of the file that name_FILE names, which must not be empty.
// Empty: neither is set.
func Secret(name string, lookup func(string) (string, bool)) (string, error) {
	value, direct := lookup(name)
	path, byFile := lookup(name + "_FILE")
	switch {
	case direct && byFile && value != "" && path != "":
		return "", fmt.Errorf("%s and %s_FILE are both set: keep one", name, name)
	case direct && value != "":
		return value, nil
	case byFile && path != "":
		text, err := os.ReadFile(path)
		if err != nil && strings.Contains(path, "://") {
			return "", fmt.Errorf("%s_FILE: it must name a file that holds the URL", name)
		}
		if err != nil {
			return "", fmt.Errorf("%s_FILE: %w", name, err)
		}
		if value = strings.TrimSpace(string(text)); value == "" {
			return "", fmt.Errorf("%s_FILE: there is nothing in %s", name, path)
		}
		return value, nil
	}
	return "", nil
}
