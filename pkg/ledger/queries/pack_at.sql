-- The commit that covers sequence $2: of the generation that reads it last.
SELECT sequence, packs
FROM commits
WHERE sale_id = $1 AND sequence >= $2
  AND generation = (SELECT COALESCE(max(generation), 1) FROM holes WHERE sale_id = $1 AND resume_sequence <= $2)
ORDER BY sequence
LIMIT 1
