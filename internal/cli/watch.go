package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"deadman/internal/config"
	"deadman/internal/daemon"
)

const watchHelp = `Guards all agents until it is told to end. It learns of a death from the kernel
and of a changed config at once; polling is only underneath. It leaves the
agents running when it ends or dies, and adopts them when it is started again.

SIGHUP reads the config anew; one that is bad in any part changes nothing.
SIGUSR2 puts the program that is now at its path in its place, as the same
process: an upgrade without a gap for those who watch the watch. SIGTERM and
SIGINT end it. It tells systemd when every agent has its guard (Type=notify),
and that all guards go on (WatchdogSec).

exits:
  0   told to end
  1   it could not begin
  2   bad flag, or bad config: good agents are guarded until it is told to end`

func (p *program) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch", Short: "guard all agents continuously", Long: watchHelp, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			// Before anything is opened: a hangup while it begins must not end it.
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			upgrades := make(chan os.Signal, 1)
			signal.Notify(upgrades, syscall.SIGUSR2)
			defer signal.Stop(upgrades)
			self, err := findSelf()
			if err != nil {
				return err
			}
			environ := os.Environ()
			tell, pace := notifier(), watchdogPace()
			context.AfterFunc(ctx, func() { tell("STOPPING=1") })
			ctx, end := context.WithCancel(ctx)
			defer end()
			upgraded := false
			err = p.with(func(d *daemon.Daemon) error {
				reload := make(chan struct{}, 1)
				go forward(ctx, hangups, reload)
				go watchdog(ctx, pace, d.Hangs, tell, p.warn)
				go func() {
					for range upgrades {
						if err := self.try(ctx); err != nil {
							p.warn(err.Error())
							continue
						}
						upgraded = true
						end()
						return
					}
				}()
				load := func() (config.Config, error) { return p.load() }
				ready := func() {
					p.warn("watching")
					tell("READY=1")
				}
				return d.Watch(ctx, reload, load, ready, p.warn)
			})
			if !upgraded || err != nil {
				return err
			}
			return self.replace(environ)
		},
	}
}

// forward turns hangups into reloads; several at once are one.
func forward(ctx context.Context, hangups <-chan os.Signal, reload chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			select {
			case reload <- struct{}{}:
			default:
			}
		}
	}
}
