package archive

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// compressor returns the one compressor of the format. All its options are
// spelt out: another one gives other bytes.
func compressor() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithWindowSize(8<<20), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(true))
}

// decompressor is shared: DecodeAll keeps no state.
var decompressor = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxPlain),
		zstd.WithDecoderMaxWindow(maxPlain), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(fmt.Sprintf("archive: options of the decompressor: %v", err))
	}
	return d
})

var errFrame = errors.New("not the zstd frame of a member")

// decompress returns the content of a member. What claims to be larger than
// members are is not looked at.
func decompress(stored []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(stored); err != nil || h.Skippable || !h.HasFCS || h.FrameContentSize > maxPlain {
		return nil, errFrame
	}
	plain, err := decompressor().DecodeAll(stored, make([]byte, 0, h.FrameContentSize))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	return plain, nil
}
