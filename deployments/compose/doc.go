// Package compose tests the system as it is shipped: the image, and the compose
// file, run by a real engine.
//
// The engine is found by DOCKER_HOST, or at its usual socket. On machines that
// can pull no images, .ci/containers/engine starts one and .ci/containers/images
// makes stand-ins for the base images, whose tags the tests name: what they show
// is shown for the stand-ins. Without an engine the tests are skipped, and fail
// where NOTSALE_REQUIRE_REAL is set.
//
// It has no other code.
package compose
