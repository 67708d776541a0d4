// KServe 0.20.0, from the Go module of its release tag. Tests read files of it and build nothing, so no other module is
// needed.
module pushscale.test/test-cluster/serving/kserve

go 1.26.0

require github.com/kserve/kserve v0.20.0
