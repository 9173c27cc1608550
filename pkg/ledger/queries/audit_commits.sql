-- A page of a sale's commits after ($2, $3), by generation and sequence.
SELECT generation, sequence, position, chain, packs, epoch, committed_at
FROM commits
WHERE sale_id = $1 AND (generation, sequence) > ($2, $3)
ORDER BY generation, sequence
LIMIT $4
