-- The lock makes whoever ends this term wait for the transaction.
SELECT term FROM checkers WHERE term = $1 FOR SHARE
