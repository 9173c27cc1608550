-- Stores attempts; one that is there already stays as it is.
INSERT INTO checkout_attempts (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge)
SELECT a.attempt_id, a.sale_id, a.attempted_at, a.user_param, a.item_param, a.outcome,
       NULLIF(a.code_id, '00000000-0000-0000-0000-000000000000'),
       CASE WHEN a.outcome = 'issued' THEN a.expires_at END, a.edge
FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[], $9::text[])
    AS a (attempt_id, sale_id, attempted_at, user_param, item_param, outcome, code_id, expires_at, edge)
ON CONFLICT (attempt_id) DO NOTHING
