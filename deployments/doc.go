// Package deployments tests what the system is deployed with: the compose
// file at the root, and the files here that it gives to the stores.
//
//   - Dockerfile: the program, from scratch and without root.
//   - secrets.sh: makes passwords and the code key under secrets/, which is
//     never in git.
//   - nats, postgres, redis: one identity per service, with what it needs and
//     no more; nobody comes in without a name.
//
// It has no other code: configuration that nothing reads back rots unseen.
package deployments
