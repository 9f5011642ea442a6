"""Judges an OpenAPI document from standard input; says what is wrong with it and fails."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

errors = list(OpenAPIV31SpecValidator(json.load(sys.stdin)).iter_errors())
for error in errors:
    print("/".join(map(str, error.absolute_path)), error.message[:500], file=sys.stderr)
sys.exit(bool(errors))
