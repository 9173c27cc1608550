package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

const (
	migrateTimeout = 5 * time.Minute
	askTimeout     = 3 * time.Second
)

// newHealth is for images without a shell, whose health check needs a program.
func newHealth() *cobra.Command {
	url := "http://127.0.0.1:8080/readyz"
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask an edge or an operations listener how it is; status 0 if well",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), askTimeout)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answers %s", url, response.Status)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", url, "what to ask")
	return cmd
}
