"""``python -m liverstiff.config`` prints the JSON schema of ``config.yaml``."""

import json

from liverstiff.config import json_schema

print(json.dumps(json_schema(), indent=2))
