"""Prints a page: fetch.py URL [KEY]. Whoever speaks TLS is believed, as the kubelet's probes do."""

import ssl
import sys
import urllib.request

url, *key = sys.argv[1:]
headers = {"authorization": f"Bearer {key[0]}"} if key else {}
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5, context=context) as answer:
    sys.stdout.buffer.write(answer.read())
