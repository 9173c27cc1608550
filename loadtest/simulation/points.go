package simulation

// Points are where a process may die: before and after each call to a server, by
// role. A call is a method of a port, its words joined by hyphens.
func Points() (points []string) {
	for _, role := range []struct {
		name  string
		calls []string
	}{
		{"allocator", []string{
			"renew", "take", "release", "open-positions", "sale", "cursor", "decision-page", "committed", "commit", "settled", "applied", "open-generation",
			"opening", "info", "message", "read", "ping", "mark", "learn", "forget", "reply",
		}},
		{"edge", []string{"ask", "verdicts", "sales-of", "sales", "publish-pack", "publish-attempts", "watch"}},
		{"recorder", []string{"attempt-cursor", "record-attempts", "info", "message", "read", "watch"}},
		{"scheduler", []string{
			"installation", "next-slot", "open-slot", "mark-open", "sales", "unsold-sales", "directory", "claim", "server-time", "put", "entries",
			"create-checkouts", "create-purchases", "publish-opening", "opening-of", "unsold-parts", "space", "sizes",
		}},
	} {
		for _, call := range role.calls {
			points = append(points, role.name+"/before-"+call, role.name+"/after-"+call)
		}
	}
	return points
}

// armed is a fault that waits for its point.
type armed struct {
	fault Fault
	left  int // times that it is still to be reached
}

// arm lets a fault wait for its point, until faults are over.
func (s *simulation) arm(f Fault) {
	a := &armed{fault: f, left: f.Nth}
	s.armed = append(s.armed, a)
}

// reach is called when a process comes to a point, and reports whether it dies
// there.
func (s *simulation) reach(point string) (dies bool, away Fault) {
	if s.w.now > healed {
		return false, Fault{}
	}
	var due []Fault
	waiting := s.armed[:0]
	for _, a := range s.armed {
		if a.fault.Point == point {
			a.left--
		}
		if a.left > 0 {
			waiting = append(waiting, a)
		} else {
			due = append(due, a.fault)
		}
	}
	s.armed = waiting
	for _, f := range due {
		if f.Kind != CrashAtPoint {
			s.strike(f)
			continue
		}
		s.w.note("at "+point, int64(f.Length))
		s.points[point]++
		dies, away = true, f
	}
	return dies, away
}
