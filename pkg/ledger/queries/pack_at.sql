-- The commit that covers the sequence: of the generation that reads it last.
SELECT sequence, packs
FROM commits
WHERE sale_id = @sale AND sequence >= @sequence
  AND generation = (SELECT COALESCE(max(generation), 1) FROM holes WHERE sale_id = @sale AND resume_sequence <= @sequence)
ORDER BY sequence
LIMIT 1
