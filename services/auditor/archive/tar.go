package archive

import (
	"bytes"
	"fmt"
	"strconv"
)

// Layout of a tar: blocks of 512 bytes, a header before each member, zeros to
// the end of its last block, two blocks of zeros at the end.
const (
	block  = 512
	endLen = 2 * block
)

// maxTarSize is the largest size that a header holds.
const maxTarSize = 1<<33 - 1

// offsets of the fields of a USTAR header that are not zeros.
const (
	tarMode  = 100
	tarUID   = 108
	tarGID   = 116
	tarSize  = 124
	tarTime  = 136
	tarSum   = 148
	tarType  = 156
	tarMagic = 257
	tarMajor = 329
	tarMinor = 337
)

// header returns the header of a member: nothing in it depends on where and
// when it was written. The name has at most 99 bytes.
func header(name string, size int64) []byte {
	h := make([]byte, block)
	copy(h, name)
	copy(h[tarMode:], "0000644")
	copy(h[tarUID:], "0000000")
	copy(h[tarGID:], "0000000")
	copy(h[tarSize:], fmt.Sprintf("%011o", size))
	copy(h[tarTime:], "00000000000")
	copy(h[tarSum:], "        ")
	h[tarType] = '0'
	copy(h[tarMagic:], "ustar\x0000")
	copy(h[tarMajor:], "0000000")
	copy(h[tarMinor:], "0000000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[tarSum:], fmt.Sprintf("%06o\x00", sum))
	return h
}

// parseHeader reads what header writes, and nothing else.
func parseHeader(h []byte) (name string, size int64, ok bool) {
	text, _, _ := bytes.Cut(h[:tarMode], []byte{0})
	size, err := strconv.ParseInt(string(h[tarSize:tarTime-1]), 8, 64)
	if err != nil || size < 0 || size > maxTarSize || len(text) == 0 || len(text) == tarMode {
		return "", 0, false
	}
	name = string(text)
	return name, size, bytes.Equal(h, header(name, size))
}

// padding is how many zeros follow a content of this size.
func padding(size int64) int64 { return -size & (block - 1) }

// extent is what a member with content of this size takes up.
func extent(size int64) int64 { return block + size + padding(size) }
