-- A page of a sale's commits after (@generation, @sequence), by generation and sequence.
SELECT generation, sequence, position, chain, packs, epoch, committed_at
FROM commits
WHERE sale_id = @sale AND (generation, sequence) > (@generation, @sequence)
ORDER BY generation, sequence
LIMIT @most
