"""All that speaks to PostgreSQL: the pool, the statements, the migrations, the embedded server.

Promises domain values in and out. Will not decide anything: that is the domain's.
"""
