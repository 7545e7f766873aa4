"""Key rings of tests, and the address under which the service is known there."""

import base64
import os

from scheduler_svc.store.vault import KeyRing

KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
KEY_TEXT, OTHER_KEY_TEXT = (base64.b64encode(key).decode() for key in (KEY, OTHER_KEY))
PUBLIC_URL = "https://scheduler.example"


def ring_of(*keys: bytes) -> KeyRing:
    return KeyRing(keys, os.urandom)


RING = ring_of(KEY)
