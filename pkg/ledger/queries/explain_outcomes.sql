-- What became of user $2's checkout attempts in sale $1.
SELECT outcome, count(*)
FROM checkout_attempts
WHERE sale_id = $1 AND user_param = $2
GROUP BY outcome
