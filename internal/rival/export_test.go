package rival

// At has a function told each point at which a crash leaves something behind.
func (o *Options) At(f func(point string)) { o.at = f }
