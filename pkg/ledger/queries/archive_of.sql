SELECT manifest, sequence, attempts, chain, archived_at
FROM archives
WHERE sale_id = @sale
