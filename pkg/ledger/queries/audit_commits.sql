SELECT generation, sequence, position, chain, packs, epoch, committed_at
FROM commits
WHERE sale_id = $1
ORDER BY generation, sequence
