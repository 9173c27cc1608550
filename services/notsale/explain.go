package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"

	"notsale/pkg/code"
	"notsale/services/archiver"
	"notsale/services/auditor"
	"notsale/services/edge"
)

// explaining is what `audit explain` was asked.
type explaining struct {
	inspection

	question archiver.Question
	keys     string // file, to check the code's signature with
}

func newExplain() *cobra.Command {
	x := explaining{inspection: newInspection()}
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say what became of a code, an item or a user, and why; status 0 explained, 1 disagreement, 2 could not run",
		Long: "Replay a sale's stream and say what became of a code, of the race for an item, or of a user's requests:\n" +
			"place in the queue, time, decision, reason, and the position that a refused request lost to.\n" +
			"Exit status: 0 explained, 1 ledger and stream disagree about it, 2 it could not be carried out.",
	}
	auditCommand(cmd, &x.inspection, x.run)
	x.flags(cmd.Flags(), "archive of the sale, in place of ledger and streams")
	f := cmd.Flags()
	f.StringVar(&x.question.Code, "code", "", "a code, or with --sale its id (32 hexadecimal digits)")
	f.Int64Var((*int64)(&x.question.Item), "item", 0, "id of an item")
	f.StringVar((*string)(&x.question.User), "user", "", "id of a user, with --sale")
	f.StringVar(&x.keys, "code-keys", "", "file of the keys that sign codes, to check the code's signature; without it the code's word is taken")
	f.BoolVar(&x.asJSON, "json", false, "print JSON")
	return cmd
}

func (x *explaining) run(ctx context.Context) error {
	q := &x.question
	q.Sale = x.sale
	if err := q.Validate(x.archive != ""); err != nil {
		return err
	}
	if x.keys != "" {
		keys, err := edge.OpenKeys(x.keys, 0)
		if err != nil {
			return err
		}
		q.Keys = keys.Ring()
	}
	answer := func(e *archiver.Evidence) error {
		explanation, err := e.Explain(ctx, *q, auditor.Options{Progress: progressBar(e.Sale), Share: x.share})
		if err != nil {
			return err
		}
		return x.print(explanation)
	}
	if x.archive != "" {
		return x.on(ctx, answer)
	}
	return x.connected(ctx, func(stores archiver.Stores) error {
		id, err := stores.SaleOf(ctx, *q)
		if err != nil {
			return err
		}
		e, err := stores.Evidence(ctx, id)
		if err != nil {
			return err
		}
		return answer(e)
	})
}

// How far what a code says of itself was checked.
const (
	signatureUnchecked = "signature not checked"
	signatureValid     = "signature valid"
)

// signature is how far a code's word was checked; empty: there is none, but an id.
func (x *explaining) signature() string {
	_, err := code.ParseID(x.question.Code)
	switch {
	case x.question.Code == "" || err == nil:
		return ""
	case x.keys == "":
		return signatureUnchecked
	}
	return signatureValid
}

// print prints text for people, or one line of JSON.
func (x *explaining) print(e *auditor.Explanation) (err error) {
	if x.asJSON {
		err = json.NewEncoder(x.out).Encode(struct {
			*auditor.Explanation

			Signature string `json:"signature,omitempty"`
		}{e, x.signature()})
	} else {
		_, err = io.WriteString(x.out, explanationText(e, x.signature()))
	}
	if err == nil && !e.Agree() {
		return errFindings
	}
	return err
}
