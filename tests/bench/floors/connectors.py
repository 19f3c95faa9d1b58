"""The least that a plan of connectors can read: all of them, in one request."""

import json
import sys
import urllib.request

with urllib.request.urlopen(f"{sys.argv[1]}/connectors?expand=info&expand=status", timeout=60) as answer:
    json.load(answer)
