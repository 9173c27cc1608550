package statement

// CreateKey is what a process does that found no key.
var CreateKey = createKey
