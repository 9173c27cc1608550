package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// longestText is how many characters of a text from the evidence are shown.
const longestText = 160

// printable cuts a text and spells out what would not be seen, or would turn
// the text around it.
func printable(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n == longestText {
			b.WriteString("…")
			break
		}
		n++
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u{%x}", r)
		}
	}
	return b.String()
}

// grouped writes a number with commas: 12,755.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if text[0] == '-' {
		sign, text = "−", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// counted writes a number with its noun: 1 hole, 2 holes.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// short writes a number in a few characters: 12.5k.
func short(n float64) string {
	switch {
	case n >= 1e6:
		return digits(n/1e6, 3) + "M"
	case n >= 1e4:
		return digits(n/1e3, 3) + "k"
	default:
		return digits(n, 4)
	}
}

// digits writes a number with so many digits at most, without trailing zeros.
func digits(n float64, most int) string {
	whole := 1
	if n >= 1 || n <= -1 {
		whole = int(math.Log10(math.Abs(n))) + 1
	}
	text := strconv.FormatFloat(n, 'f', max(most-whole, 0), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// share writes a part of a whole in percent.
func share(n, of int64) string { return digits(100*float64(n)/float64(max(of, 1)), 3) + "%" }

// units of time, from the smallest.
var units = []struct {
	us    float64
	short string
	long  string
}{
	{1, "µs", "microseconds"},
	{1e3, "ms", "milliseconds"},
	{1e6, "s", "seconds"},
	{60e6, "min", "minutes"},
	{3600e6, "h", "hours"},
	{24 * 3600e6, "d", "days"},
}

// lasting writes microseconds in a fitting unit: 3.21 ms.
func lasting(us int64) string {
	sign, size := "", math.Abs(float64(us))
	if us < 0 {
		sign = "−"
	}
	i := 0
	for i+1 < len(units) && size >= units[i+1].us {
		i++
	}
	if i >= 3 { // 2 min 3 s
		small := math.Round(size / units[i-1].us)
		per := math.Round(units[i].us / units[i-1].us)
		text := fmt.Sprintf("%s%d %s", sign, int64(small/per), units[i].short)
		if rest := int64(math.Mod(small, per)); rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, units[i-1].short)
		}
		return text
	}
	return sign + digits(size/units[i].us, 3) + " " + units[i].short
}

// clock writes a time of day with its date, in UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") }
