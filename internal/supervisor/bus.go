package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// jobDone is the result of a job that came off.
const jobDone = "done"

// manager is a connection to a systemd: the system's, or the user's own.
type manager struct {
	conn *systemd.Conn
	hang func()
}

// name is the full name of the unit.
func (s *Systemd) name() string {
	if strings.HasSuffix(s.Unit, ".service") {
		return s.Unit
	}
	return s.Unit + ".service"
}

// dial connects. Systemd's own socket comes first, where it may be used: it
// works without a bus daemon, and from a cron job, which has no session.
func dial(ctx context.Context, user bool) (*manager, error) {
	// The context is that of the whole connection; its time is for the dialling.
	ctx, hang := context.WithCancelCause(ctx)
	late := time.AfterFunc(askTime, func() { hang(context.DeadlineExceeded) })
	defer late.Stop()
	var err error
	for _, way := range ways(user) {
		var conn *systemd.Conn
		conn, err = systemd.NewConnection(func() (*dbus.Conn, error) { return way.open(ctx) })
		if err == nil {
			return &manager{conn: conn, hang: func() { hang(nil) }}, nil
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	hang(nil)
	if user {
		return nil, &busError{"cannot reach the user's systemd: " + word(err), "it runs while you are logged in, or always after `loginctl enable-linger`"}
	}
	return nil, &busError{"cannot reach systemd: " + word(err), "is this machine run by systemd?"}
}

// way is one to reach a systemd.
type way struct {
	address string
	// bus: it leads through a bus daemon.
	bus bool
}

func ways(user bool) []way {
	if !user {
		system := way{"unix:path=/run/dbus/system_bus_socket", true}
		if address := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); address != "" {
			system.address = address
		}
		if os.Geteuid() == 0 {
			return []way{{"unix:path=/run/systemd/private", false}, system}
		}
		return []way{system}
	}
	var all []way
	dirs := []string{"/run/user/" + strconv.Itoa(os.Geteuid())}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && dir != dirs[0] {
		dirs = append([]string{dir}, dirs...)
	}
	for _, dir := range dirs {
		all = append(all,
			way{"unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(dir, "systemd/private")), false},
			way{"unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(dir, "bus")), true})
	}
	return all
}

func (w way) open(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dbus.Dial(w.address, dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil && w.bus {
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (m *manager) close() {
	m.conn.Close()
	m.hang()
}

// read asks for all properties of a unit in one call, so that they belong
// together.
func (m *manager) read(ctx context.Context, name string) (unit, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	properties, err := m.conn.GetAllPropertiesContext(ctx, name)
	if err != nil {
		return unit{}, fmt.Errorf("cannot ask systemd about %s: %s", name, word(err))
	}
	return unitOf(properties), nil
}

// start orders a start, whatever latch is in its way. The channel gets the
// result of the job.
func (m *manager) start(ctx context.Context, name string) (<-chan string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	// It fails for a unit that is not loaded, which has no latch.
	_ = m.conn.ResetFailedUnitContext(ctx, name)
	done := make(chan string, 1)
	if _, err := m.conn.StartUnitContext(ctx, name, "replace", done); err != nil {
		return nil, refusalOf("start", name, err)
	}
	return done, nil
}

// stop orders a stop.
func (m *manager) stop(ctx context.Context, name string) (<-chan string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	done := make(chan string, 1)
	if _, err := m.conn.StopUnitContext(ctx, name, "replace", done); err != nil {
		return nil, refusalOf("stop", name, err)
	}
	return done, nil
}

// busError is what went wrong between us and systemd.
type busError struct{ text, hint string }

func (e *busError) Error() string { return e.text }

// Hint says what a person can do about it.
func (e *busError) Hint() string { return e.hint }

func refusalOf(verb, name string, err error) error {
	e := &busError{text: fmt.Sprintf("cannot have systemd %s %s: %s", verb, name, word(err))}
	if reply := (dbus.Error{}); errors.As(err, &reply) && (strings.HasSuffix(reply.Name, ".AccessDenied") || strings.HasSuffix(reply.Name, ".InteractiveAuthorizationRequired")) {
		e.hint = "run deadman as root, or guard a unit of your own with `user: true`"
	}
	return e
}

// word is an error as systemd, or the kernel, worded it.
func word(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it does not answer"
	}
	return strings.TrimSuffix(bare(err).Error(), ".")
}
