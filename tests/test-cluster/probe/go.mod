module pushscale.test/rig/probe

go 1.26.0
