-- The commit that covers the sequence, in the last generation that has read it.
SELECT sequence, packs
FROM commits
WHERE sale_id = @sale AND sequence >= @sequence
  AND generation = (SELECT COALESCE(max(generation), 1) FROM holes WHERE sale_id = @sale AND resume_sequence <= @sequence)
ORDER BY sequence
LIMIT 1
