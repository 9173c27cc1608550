-- What became of the user's checkout attempts in the sale.
SELECT outcome, count(*)
FROM checkout_attempts
WHERE sale_id = @sale AND user_param = @user
GROUP BY outcome
