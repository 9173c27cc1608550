package edge

// Unusable is 1 while the file cannot be used.
func (f *KeyFile) Unusable() float64 { return f.unusable() }
