package supervisor

// OfUnit is what properties of a unit mean, as D-Bus gives them, given the
// invocation that we have stopped, and whether it has run although disabled.
func OfUnit(properties map[string]any, ended string, disabled bool) Inspection {
	return unitOf(properties).inspection(unitNote{Ended: ended, Disabled: disabled})
}
