package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"notsale/pkg/backends"
	"notsale/pkg/ledger"
)

func newBackends() *cobra.Command {
	s := newSettings()
	s.data = backends.DefaultConfig().Data
	cmd := &cobra.Command{
		Use:   "backends",
		Short: "Start only the three stores and print their URLs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := s.logger()
			if err != nil {
				return err
			}
			ctx, restore := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer restore()
			stores, err := startStores(ctx, s, log)
			if err != nil {
				return err
			}
			defer stopStoresOf(stores, log)
			fmt.Fprintf(cmd.OutOrStdout(), "export DATABASE_URL='%s'\nexport REDIS_URL='%s'\nexport NATS_URL='%s'\n", s.databaseURL, s.redisURL, s.natsURL)
			select {
			case err := <-stores.Done():
				return err
			case <-ctx.Done():
				return nil
			}
		},
	}
	s.commonFlags(cmd.Flags())
	s.dataFlags(cmd.Flags())
	return cmd
}

func newMigrate() *cobra.Command {
	s := newSettings()
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of DATABASE_URL up to date",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.readURLs(); err != nil {
				return err
			}
			if s.databaseURL == "" {
				return fmt.Errorf("DATABASE_URL is not set: set it or DATABASE_URL_FILE")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), migrateTimeout)
			defer cancel()
			steps, err := ledger.Migrate(ctx, s.databaseURL)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%d migrations applied\n", steps)
			}
			return err
		},
	}
}
