// Package deployments tests what the system is deployed with: the compose
// file at the root, and the files here that it gives to the stores.
//
//   - Dockerfile: the program, from scratch and without root.
//   - secrets.sh: makes passwords, the code key and certificates, a folder for each
//     identity; by hand under secrets/, which is never in git.
//   - volumes.sh: whose the volumes are.
//   - nats, postgres, redis: one identity per service, with what it needs and
//     no more; nobody comes in without a name.
//   - haproxy: in front of the edges.
//   - cluster.env, compose.tls.yml: three NATS servers, TLS between all parts.
//
// It has no other code: configuration that nothing reads back rots unseen. That it
// runs is tested in its folder compose.
package deployments
