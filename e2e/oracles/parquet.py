"""Runs a statement over a Parquet file, which it calls `hits`, and prints the rows as JSON."""

import json
import sys

import duckdb

file, statement = sys.argv[1:]
connection = duckdb.connect()
connection.execute("CREATE VIEW hits AS SELECT * FROM read_parquet('%s')" % file.replace("'", "''"))
print(json.dumps(connection.execute(statement).fetchall()))
