package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"notsale/pkg/boot"
)

func main() {
	// Only URLs name databases here. The driver would look for a service of this name
	// first, and fail where there is none.
	_ = os.Unsetenv("PGSERVICE")
	if err := newRoot().ExecuteContext(context.Background()); err != nil {
		printError("notsale:", err)
		if errors.Is(err, errAudit) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

// printTimeout is how long a process that ends waits for the reader of its
// standard error.
const printTimeout = time.Second

func printError(text ...any) {
	printed := make(chan struct{})
	go func() {
		fmt.Fprintln(os.Stderr, text...)
		close(printed)
	}()
	select {
	case <-printed:
	case <-time.After(printTimeout):
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "notsale",
		Short:         "A flash sale: exactly 10,000 items an hour, to the first who asked",
		Long:          "A flash sale: exactly 10,000 items an hour, to the first who asked.\n\nEvery flag has an environment variable: " + boot.EnvPrefix + " and its name in upper case,\nwith _ for -; for example " + boot.EnvName("sale-every") + ".",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return boot.FromEnvironment(cmd.Flags(), os.LookupEnv)
		},
	}
	root.AddCommand(newUp(), newBackends(), newMigrate(), newAudit(), newSale(), newHealth())
	for _, r := range roles() {
		root.AddCommand(newRole(r))
	}
	return root
}
