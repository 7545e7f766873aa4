"""Addresses that must never be called: spellings, ranges and tricks, by the kind of attack.

Ranges are those of the IANA registries and of the clouds; spellings are what `getaddrinfo` takes
for an address, and what `urlsplit`, yarl and httpx read differently from each other.
"""

LOOPBACK_SPELLINGS = """
127.1 127.0.1 0 0x0 00000000 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 017700000001 0X7F000001
127.0.0.1. 127.00.0.1 127.0.0.01 127.0x0.0.1 0x7f.1 0177.1 127.0.0.1.0 256.127.0.1 4294967297
\uff11\uff12\uff17.0.0.1 \u2460\u2461\u2466.0.0.1 127\u30020\u30020\u30021 127\uff0e0\uff0e0\uff0e1
127\uff610\uff610\uff611 \u0661\u0662\u0667.0.0.1 127.0.0.1\u200b 127.0.0.1\u00ad 127.0.0.1%00
""".split()  # noqa: SIM905 - a table reads better
METADATA_SPELLINGS = """
2852039166 0xa9fea9fe 0xA9FEA9FE 0251.0376.0251.0376 169.254.43518 169.16689662 0xa9.0xfe.0xa9.0xfe
0251.254.169.254 025177524776 169.254.169.254. \u2460\u2465\u2468.254.169.254 425.510.425.510
""".split()  # noqa: SIM905 - a table reads better
DENIED_IPV4 = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255
192.168.0.0 192.168.255.255 169.254.169.254 169.254.170.2 100.64.0.1 100.127.255.255
100.100.100.200 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1
198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
168.63.129.16
""".split()  # noqa: SIM905 - a table reads better
DENIED_IPV6 = """
:: ::1 0:0:0:0:0:0:0:1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:a9fe:a9fe ::FFFF:10.0.0.1
0:0:0:0:0:ffff:7f00:1 ::127.0.0.1 ::7f00:1 ::a9fe:a9fe ::ffff:0:127.0.0.1 64:ff9b::7f00:1
64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b:1::a00:1 2002:7f00:1::
2002:a9fe:a9fe::1 2001:0:53aa:64c:0:0:80ff:fffe 2001:10::1 2001:20::1 fc00::1 fd00:ec2::254
fd20:ce::254 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 100::1 2001:db8::1 3fff::1 5f00::1 4000::1
""".split()  # noqa: SIM905 - a table reads better

# As whole addresses, by the id of their row.
CORPUS: dict[str, list[str]] = {
    "S01 ranges of IPv4": [f"http://{address}/" for address in DENIED_IPV4],
    "S02 ranges of IPv6": [
        *(f"http://[{address}]/" for address in DENIED_IPV6),
        *("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1%25lo]/"),
    ],
    "S03 spellings": [f"http://{host}/" for host in (*LOOPBACK_SPELLINGS, *METADATA_SPELLINGS)],
    "S04 local names": [
        f"http://{host}/"
        for host in (
            *(
                "localhost",
                "LOCALHOST",
                "localhost.",
                "foo.localhost",
                "Foo.LocalHost.",
                "intranet",
            ),
            *(
                "printer.local",
                "a.b.internal",
                "metadata.google.internal",
                "metadata",
                "kubernetes",
            ),
            *("LOCALHO\u017fT", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3"),
        )
    ],
    "S05 userinfo": [
        "http://ok.example@127.0.0.1/",
        "http://127.0.0.1@ok.example/",
        "http://a@b@127.0.0.1/",
        "http://user:pass@ok.example/",
        "http://@ok.example/",
        "http://ok.example:80@127.0.0.1/",
        "http://ok.example%40127.0.0.1/",
    ],
    "S06 parsers that disagree": [
        "http://ok.example\\@127.0.0.1/",
        "http:\\\\127.0.0.1/",
        "http://ok.example#@127.0.0.1/",
        "http://ok.example?@127.0.0.1/",
        "http://ok.example/\t",
        "http://ok\t.example/",
        "http://ok.example/\r\nHost: x",
        "http://ok.example/\n",
        "http://ok.example/\x00",
        " http://ok.example/",
        "\x01http://ok.example/",
        "http:/127.0.0.1",
        "http:127.0.0.1",
        "http:///127.0.0.1/",
        "//127.0.0.1/",
        "127.0.0.1",
        "http://[::1",
        "http://::1/",
        "http://[v1.x]/",
        "http://[127.0.0.1]/",
        "http://ok.example:80:80/",
        "http://ok.example:0/",
        "http://ok.example:65536/",
        "http://ok.example:99999/",
        "http://ok.example:+80/",
        "http://ok.example:80a/",
        "http://ok%2fexample/",
        "http://ok.example%00.other/",
        "http://%31%32%37.0.0.1/",
        "http://" + ".".join(["a" * 50] * 6) + "/",
        "http://" + "a" * 64 + ".example/",
        "http://xn--a.example/",
        "http://xn--/",
        "http://ok\u3002example/",
        "http://ok\uff0eexample/",
        "http://ok.example\uff0f@x/",
        "http://a\u2100b.example/",
    ],
    "S07 schemes": [
        "file:///etc/passwd",
        "gopher://ok.example:70/_x",
        "ftp://ok.example/",
        "dict://127.0.0.1:11211/stat",
        "ldap://ok.example/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "ws://ok.example/",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/containers/json",
        "unix:/var/run/docker.sock",
        "jar:http://ok.example/!/",
        "netdoc:///etc/passwd",
        "httpx://ok.example/",
    ],
    "S11 ourselves": [
        "http://127.0.0.1:8080/",
        "http://127.9.9.9:8080/",
        "http://[::1]:8080/",
        "http://0.0.0.0:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
    ],
    "S12 ports": [
        f"http://ok.example:{port}/"
        for port in (
            *(1, 7, 9, 19, 21, 22, 23, 25, 53, 110, 111, 139, 143, 389, 445, 465, 587, 636, 993),
            *(1433, 1521, 1719, 1723, 2049, 2375, 2379, 3306, 3659, 4045, 5060, 5061, 5432, 5672),
            *(6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 9042, 9092, 9200, 10080, 11211),
            27017,
        )
    ],
}
# The neighbours of what is denied: public, and to be taken.
TAKEN = [
    "HTTP://OK.example/",
    "https://ok.example./x",
    "http://172.15.255.255/",
    "http://172.32.0.1/",
    "http://100.63.255.254/",
    "http://100.128.0.1/",
    "http://[2606:4700::1111]/",
    "http://[::ffff:8.8.8.8]/",
    "http://[64:ff9b::8.8.8.8]/",
    "https://b\u00fccher.example/",
    "http://ok.example:8443/a%0d%0aHost:%20x?y=%00",
]
# As a header of a job: name and value.
HEADERS = [
    *(
        (name, "x")
        for name in ("Host", "hOST", "Content-Length", "Transfer-Encoding", "Connection")
    ),
    *((name, "x") for name in ("Upgrade", "Expect", "TE", "Trailer", "Keep-Alive", "KEEP-ALIVE")),
    *((name, "x") for name in ("Proxy-Authorization", "Proxy-Connection", "proxy-x", "Webhook-Id")),
    *((name, "x") for name in ("webhook-signature", "Scheduler-Job", "Traceparent", "traceparent")),
    *((name, "x") for name in ("Idempotency-Key", "Accept-Encoding", "a b", "a:b", "", "a\r\nb")),
    *((name, "x") for name in ("a\x00", "\u00e9", "(a)", "a\t")),
    *(("X-A", value) for value in ("a\r\nB: c", "a\nb", "a\rb", "a\x7fb", "\u00e9", "a\x1bb")),
]
