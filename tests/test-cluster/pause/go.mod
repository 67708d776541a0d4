module pushscale.test/rig/pause

go 1.26.0
