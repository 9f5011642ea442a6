-- A writer that freezes in the middle of its transaction must not keep its locks from whoever takes over.
SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT),
       set_config('idle_in_transaction_session_timeout', '1000', true),
       set_config('lock_timeout', '5000', true)
