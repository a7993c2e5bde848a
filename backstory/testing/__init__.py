"""What Backstory's own tests stand on, shipped so that yours can too.

`clock.ManualClock` is a clock to move by hand; `contract` has the test classes that every engine must pass;
`postgres.postgres()` is a real PostgreSQL server without set-up. Each is imported by itself: they need test tools
(pytest, hypothesis, psycopg) that the product does not.
"""
