package main

type demoCmd struct{}

func (c *demoCmd) Run(a *App) error { return nil }
