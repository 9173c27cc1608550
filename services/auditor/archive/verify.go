package archive

import (
	"bytes"
	"context"
	"fmt"

	"notsale/services/auditor"
)

// Verify accounts for every byte of the file: headers and padding are as they
// are written, contents have their sums, the manifest is what the members give,
// nothing is missing and nothing comes after the end. It says nothing about the
// sale: that is an audit's. progress may be nil; it is told how many of how many
// bytes were verified. An error: the file cannot be read, or the context ended.
func (a *Archive) Verify(ctx context.Context, progress auditor.Progress) ([]Damage, error) {
	v := verification{Archive: a, ctx: ctx, tally: newTally(), whole: true}
	members := a.members
	if a.broken != nil {
		members = a.found
	}
	for i := range members {
		p := &members[i]
		if p.name == manifestName {
			break
		}
		if err := v.member(p); err != nil || v.ended {
			return v.damages, err
		}
		v.reached = p.end()
		if progress != nil {
			progress(uint64(v.reached), uint64(a.size))
		}
	}
	err := v.manifestAndEnd()
	if progress != nil && err == nil {
		progress(uint64(a.size), uint64(a.size))
	}
	return v.damages, err
}

// verification is one run of Verify.
type verification struct {
	*Archive

	ctx     context.Context
	damages []Damage
	reached int64 // end of the last member that was looked at
	ended   bool  // the file ends before it should

	tally   tally // the manifest that the members give
	whole   bool  // all of them could be read
	order   order
	section string // the one under way
	records checker
}

func (v *verification) add(d Damage) { v.damages = append(v.damages, d) }

// bytes reads a part of the file; ended: it ends before.
func (v *verification) bytes(member string, part Part, at, n int64) ([]byte, error) {
	if err := v.ctx.Err(); err != nil {
		return nil, err
	}
	if at+n > v.size {
		v.ended = true
		v.add(Damage{Member: member, Part: part, Offset: v.size, Want: fmt.Sprintf("%d more bytes of it", at+n-v.size), Got: "the end of the file"})
		return nil, nil
	}
	return v.read(at, n)
}

// exactly compares a part of the file with what it must be.
func (v *verification) exactly(member string, part Part, at int64, want []byte) error {
	got, err := v.bytes(member, part, at, int64(len(want)))
	if err == nil && !v.ended {
		v.same(Damage{Member: member, Part: part, Offset: at}, got, want)
	}
	return err
}

// same adds a damage at the first byte that is not as it must be.
func (v *verification) same(at Damage, got, want []byte) {
	if i := different(got, want); i >= 0 {
		at.Offset, at.Want, at.Got = at.Offset+int64(i), excerpt(want, i), excerpt(got, i)
		v.add(at)
	}
}

// frame compares what stands around a member's content, and returns that.
func (v *verification) frame(p *place) (content []byte, err error) {
	if err := v.exactly(p.name, Header, p.at, header(p.name, p.size)); err != nil || v.ended {
		return nil, err
	}
	if content, err = v.bytes(p.name, Content, p.content(), p.size); err != nil || v.ended {
		return nil, err
	}
	return content, v.exactly(p.name, Padding, p.content()+p.size, make([]byte, padding(p.size)))
}

// member verifies a member before the manifest.
func (v *verification) member(p *place) error {
	if !v.order.next(p.name) || p.size > maxStored {
		v.whole = false
		v.add(Damage{Member: p.name, Part: Header, Offset: p.at, Want: "a member that comes next, of a size that members have", Got: fmt.Sprintf("%s, %d bytes", p.name, p.size)})
		return nil
	}
	content, err := v.frame(p)
	if err != nil || v.ended {
		return err
	}
	plain, d := p.decode(content)
	if d != nil {
		v.whole = false
		v.add(*d)
		return nil
	}
	var records, first int64
	if section := sectionOf(p.name); section != "" {
		if section != v.section {
			v.section, v.records = section, v.checker(section)
		}
		var bad int
		if records, first, bad = v.records.check(plain); bad > 0 {
			v.whole = false
			v.add(*p.unreadable(bad))
			return nil
		}
	}
	v.tally.member(p.name, content, plain, records, first)
	return nil
}

// manifestAndEnd verifies what comes after the members.
func (v *verification) manifestAndEnd() error {
	if v.text == nil {
		return v.noManifest()
	}
	m := place{name: manifestName, at: v.textAt - block, size: int64(len(v.text))}
	if v.reached != m.at {
		v.noHeader()
	}
	if _, err := v.frame(&m); err != nil || v.ended {
		return err
	}
	s := place{name: sumName, at: m.end(), size: int64(len(sumLine(nil)))}
	if _, err := v.frame(&s); err != nil {
		return err
	}
	if int64(len(v.sums)) == s.size {
		v.judge(&s)
	}
	if v.ended {
		return nil
	}
	if err := v.exactly("", End, s.end(), make([]byte, endLen)); err != nil || v.ended {
		return err
	}
	if more := v.size - s.end() - endLen; more > 0 {
		v.add(Damage{Part: End, Offset: s.end() + endLen, Want: "the end of the file", Got: fmt.Sprintf("%d more bytes", more)})
	}
	return nil
}

// noManifest says where the way to the manifest ends.
func (v *verification) noManifest() error {
	for i := range v.found {
		if p := &v.found[i]; p.name == manifestName && p.size <= maxManifest {
			_, err := v.frame(p) // it is cut off
			return err
		}
	}
	v.noHeader()
	v.add(*v.damage)
	return nil
}

// noHeader says that no member follows where one must.
func (v *verification) noHeader() {
	v.whole = false
	d := Damage{Part: Header, Offset: min(v.reached, v.size), Want: "the header of a member", Got: "the end of the file"}
	if got, err := v.read(v.reached, block); err == nil && len(got) == block {
		d.Got = excerpt(got, 0)
	} else {
		d.Offset = v.size
	}
	v.add(d)
}

// judge says whether the manifest or its sum is wrong, if one is: the members
// tell what the manifest must be.
func (v *verification) judge(s *place) {
	var want []byte
	if v.whole {
		want = v.tally.manifest.Encode()
	}
	inManifest := Damage{Member: manifestName, Part: Content, Offset: v.textAt}
	switch fits := bytes.Equal(v.sums, sumLine(v.text)); {
	case v.whole && bytes.Equal(v.text, want):
		v.same(Damage{Member: sumName, Part: Content, Offset: s.content()}, v.sums, sumLine(want))
	case v.whole && (fits || bytes.Equal(v.sums, sumLine(want))):
		v.same(inManifest, v.text, want)
	case v.damage != nil: // more than one thing is wrong
		v.add(*v.damage)
		v.compareMembers()
	}
}

// compareMembers compares members with a manifest that cannot be relied upon.
func (v *verification) compareMembers() {
	at := map[string]int64{}
	for i := range v.found {
		at[v.found[i].name] = v.found[i].content()
	}
	said := map[string]*Member{}
	for i := range v.manifest.Members {
		said[v.manifest.Members[i].Name] = &v.manifest.Members[i]
	}
	for i := range v.tally.manifest.Members {
		is := &v.tally.manifest.Members[i]
		if m := said[is.Name]; m != nil && m.Sum != is.Sum {
			v.add(Damage{Member: is.Name, Part: Content, Offset: at[is.Name], Want: fmt.Sprintf("SHA-256 %v", m.Sum), Got: is.Sum.String()})
		}
	}
}
