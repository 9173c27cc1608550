//go:build planted_reply_before_commit

package planted

// The name of the bug that this build has.
const Bug = ReplyBeforeCommit
