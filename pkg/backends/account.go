//go:build unix

package backends

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the children run as; nil: the user of this process. Only
// root needs one: Postgres refuses to run as root, and a cache has no need to.
type account struct {
	uid, gid uint32
	name     string
}

// childAccount decides who runs the children on a data folder: the user of this
// process; for root, the folder's owner, or nobody if it is root's or new.
func childAccount(data string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(data); err == nil {
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 { //nolint:forcetypeassert // always so on unix
			return ownerAccount(owner), nil
		}
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("root runs its stores as user nobody: %w; create that user, or run as a normal user", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("ids of user nobody: %w", err)
	}
	return &account{uid: uint32(uid), gid: uint32(gid), name: u.Username}, nil
}

func ownerAccount(owner *syscall.Stat_t) *account {
	return &account{uid: owner.Uid, gid: owner.Gid, name: fmt.Sprintf("with id %d", owner.Uid)}
}

// attr gives a child a process group of its own, so that Ctrl-C in the terminal
// reaches only the parent, and the account's user and group only.
func (a *account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own gives a file or folder to the account.
func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	if err := os.Lchown(path, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give to user %s: %w", a.name, err)
	}
	return nil
}

// forFolder decides who runs the store in a folder that may exist already. For root
// that is its owner; but a folder that root owns (restored from a copy, say) is given
// to the account.
func (a *account) forFolder(dir string) (*account, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at data folder: %w", err)
	}
	owner := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // always so on unix
	switch {
	case a == nil && int(owner.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to user id %d: run notsale as root or as that user, or choose another folder with --data", dir, owner.Uid)
	case a == nil || owner.Uid == a.uid:
		return a, nil
	case owner.Uid != 0:
		return ownerAccount(owner), nil
	}
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, a.own(path))
	})
	return a, err
}

// checkReach returns an error that names the innermost folder on the path to dir that
// the account may not pass through. It checks permission bits, not access lists.
func (a *account) checkReach(dir string) error {
	if a == nil {
		return nil
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("resolve data folder: %w", err)
	}
	for at := real; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("look at %s: %w", at, err)
		}
		if !a.mayPass(info) {
			return fmt.Errorf("user %s, who runs the stores for root, may not pass through %s (mode %v): "+
				"choose another folder with --data (such as /var/lib/notsale), or run chmod o+x %s",
				a.name, at, info.Mode().Perm(), at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

func (a *account) mayPass(info fs.FileInfo) bool {
	stat, mode := info.Sys().(*syscall.Stat_t), info.Mode().Perm() //nolint:forcetypeassert // always so on unix
	switch {
	case stat.Uid == a.uid:
		return mode&0o100 != 0
	case stat.Gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}
