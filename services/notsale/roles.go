package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/fx"

	"notsale/pkg/boot"
	"notsale/services/allocator"
	"notsale/services/archiver"
	"notsale/services/edge"
	"notsale/services/recorder"
	"notsale/services/scheduler"
)

// roleSpec is a service that can run as a process of its own.
type roleSpec struct {
	name, short string
	flags       func(*settings, *pflag.FlagSet)
	service     func(*settings) fx.Option
	needsKeys   bool
	needsRedis  bool
}

func roles() []roleSpec {
	return []roleSpec{
		{
			"edge", "Serve shoppers over HTTP", (*settings).edgeFlags,
			func(s *settings) fx.Option { return edge.Module(s.edge, s.keys) }, true, true,
		},
		{"allocator", "Decide purchase requests in stream order", nil, func(s *settings) fx.Option { return allocator.Module(s.allocator) }, false, true},
		{"recorder", "Store checkout attempts", nil, func(s *settings) fx.Option { return recorder.Module(s.recorder) }, false, false},
		{"scheduler", "Open a sale in every slot", (*settings).schedulerFlags, func(s *settings) fx.Option { return scheduler.Module(s.scheduler) }, false, false},
		{
			"archiver", "Move the streams of old sold-out sales into archives",
			func(s *settings, f *pflag.FlagSet) { s.archiverFlags(f); s.slotFlag(f) },
			func(s *settings) fx.Option {
				s.archiver.Waits = archiver.WaitsOf(s.scheduler.Every)
				return archiver.Module(s.archiver, instanceName("archiver"))
			}, false, false,
		},
	}
}

func newRole(r roleSpec) *cobra.Command {
	s := newSettings()
	cmd := &cobra.Command{
		Use:   r.name,
		Short: r.short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.needURLs(r.needsRedis); err != nil {
				return err
			}
			if !r.needsRedis { // it has not the flags that one with TLS may need
				s.redisURL = ""
			}
			return runRole(cmd.Context(), s, r)
		},
	}
	s.commonFlags(cmd.Flags())
	s.ledgerFlags(cmd.Flags())
	s.opsFlags(cmd.Flags())
	if r.needsRedis {
		s.redisFlags(cmd.Flags())
	}
	if r.flags != nil {
		r.flags(s, cmd.Flags())
	}
	return cmd
}

func runRole(ctx context.Context, s *settings, r roleSpec) error {
	log, finish, err := s.enduring()
	if err != nil {
		return err
	}
	defer finish()
	if r.needsKeys {
		if s.keys, err = edge.OpenKeys(s.codeKeys, s.keysDelay); err != nil {
			return err
		}
	}
	log = log.With("role", r.name)
	options := []fx.Option{shell(s), role(r.name, s, r.service(s))}
	if r.needsKeys {
		options = append(options, s.stopTime())
	}
	return boot.Run(ctx, log, func(context.Context) { log.Info("running") }, options...)
}
