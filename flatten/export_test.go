package flatten

// ManifestJSON returns the manifest as it is written.
func (p *Plan) ManifestJSON() []byte { return p.manifest().AppendJSON(nil) }
