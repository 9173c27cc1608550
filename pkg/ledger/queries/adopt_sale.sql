-- Makes the row of a sale from its opening record, unless another sale has its
-- UUID, its time or some of its items. Replaces a row of its number whose sale never
-- opened: nothing was sold under that UUID. The caller holds the lock on the
-- installation row.
INSERT INTO sales (sale_id, sale_uuid, installation, opens_at, stock, user_limit, first_item, seed, rules)
SELECT @sale::bigint, @uuid::uuid, @installation::uuid, @opens_at::timestamptz, @stock::integer, @user_limit::integer, @first_item::bigint, @seed::bigint, @rules::integer
WHERE NOT EXISTS (
    SELECT FROM sales
    WHERE sale_id <> @sale
      AND (sale_uuid = @uuid OR opens_at = @opens_at OR first_item < @first_item::bigint + @stock::integer AND last_item >= @first_item)
)
ON CONFLICT (sale_id) DO UPDATE
SET sale_uuid = excluded.sale_uuid, installation = excluded.installation, opens_at = excluded.opens_at, stock = excluded.stock,
    user_limit = excluded.user_limit, first_item = excluded.first_item, seed = excluded.seed, rules = excluded.rules
WHERE sales.state = 'preparing' AND NOT EXISTS (SELECT FROM cursors WHERE cursors.sale_id = sales.sale_id)
