"""Which addresses, names and ports may be called, by default and by the operator's lists."""

import re

import pytest

from scheduler_svc.domain.egress import EgressRules, check_literal, classify
from scheduler_svc.domain.url import parse_url

DEFAULT = EgressRules()

DENIED = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255
192.168.0.0 192.168.255.255 169.254.169.254 169.254.0.1 100.64.0.1 100.127.255.255
100.100.100.200 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.170 192.0.2.1 192.88.99.1 198.18.0.1
198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
168.63.129.16 :: ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:a9fe:a9fe ::ffff:10.0.0.1
::ffff:0.0.0.0 ::127.0.0.1 ::7f00:1 ::8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::7f00:1
64:ff9b::a9fe:a9fe 64:ff9b::a00:1 64:ff9b:1::a00:1 64:ff9b:1::808:808 2002:7f00:1::
2002:a9fe:a9fe::1 2002:808:808::1 2001:0:53aa:64c::1 2001:10::1 2001:20::1 fc00::1 fd00:ec2::254
fdff::1 fe80::1 febf::1 fec0::1 ff00::1 ff02::1 ff0e::1 100::1 2001:db8::1 3fff::1 3fff:fff::1
5f00::1 4000::1 e000::1
""".split()  # noqa: SIM905 - a table reads better

PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.254 100.128.0.1 126.255.255.255 128.0.0.1
169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 192.0.1.1 192.0.3.1 192.167.255.255
192.169.0.1 198.17.255.255 198.20.0.1 203.0.114.1 223.255.255.255 168.63.129.15
2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 2400:cb00::1 2001:200::1 3fff:1000::1
::ffff:8.8.8.8 64:ff9b::808:808
""".split()  # noqa: SIM905 - a table reads better


def refusal(text: str, rules: EgressRules = DEFAULT) -> str | None:
    return check_literal(parse_url(text), rules)


def shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("address", DENIED)
def test_a_literal_address_that_is_not_public_is_refused(address: str) -> None:
    assert refusal(f"http://{shown(address)}/") is not None
    assert DEFAULT.refuse_address(address, 80, name="public.example") is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address: str) -> None:
    assert refusal(f"http://{shown(address)}/") is None
    assert DEFAULT.refuse_address(address, 443, name="public.example") is None


def test_ipv4_is_judged_by_itself_wherever_it_is_carried() -> None:
    assert str(classify("::ffff:10.1.2.3").address) == "10.1.2.3"
    assert str(classify("64:ff9b::a01:203").address) == "10.1.2.3"
    rules = EgressRules.parse(allow=["10.1.0.0/16"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"):
        assert rules.refuse_address(address, 80) is None
    for address in ("10.2.0.1", "::ffff:10.2.0.1", "64:ff9b::a02:1", "169.254.169.254"):
        assert rules.refuse_address(address, 80) is not None


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "foo.localhost", "printer.local", "intranet",
     "metadata.google.internal", "a.b.internal"],
)  # fmt: skip
def test_local_names_need_the_allow_list(host: str) -> None:
    assert refusal(f"http://{host}/") is not None
    assert refusal(f"http://{host}/", EgressRules.parse(allow=[host.lower()])) is None


@pytest.mark.parametrize(
    "port",
    [1, 21, 22, 25, 53, 79, 81, 110, 442, 444, 445, 587, 1023, 1433, 1521, 2049, 2375, 2379, 3306,
     5060, 5432, 5672, 6000, 6379, 6667, 6697, 9042, 9092, 9200, 10080, 11211, 27017],
)  # fmt: skip
def test_ports_of_other_protocols_need_the_allow_list(port: int) -> None:
    for host in ("public.example", "8.8.8.8"):
        assert refusal(f"http://{host}:{port}/") is not None
        assert refusal(f"http://{host}:{port}/", EgressRules.parse(allow=[f":{port}"])) is None
        assert refusal(f"http://{host}:{port}/", EgressRules.parse(allow=[host])) is None


@pytest.mark.parametrize("port", [80, 443, 1024, 3000, 8080, 8443, 65535])
def test_ports_of_http_may_be_called(port: int) -> None:
    assert refusal(f"http://public.example:{port}/") is None


def test_an_allowed_network_is_open_on_every_port_unless_it_names_one() -> None:
    assert refusal("http://10.0.0.1:22/", EgressRules.parse(allow=["10.0.0.0/8"])) is None
    rules = EgressRules.parse(allow=["10.0.0.0/8:8080", "[fd00::1]:81"])
    assert refusal("http://10.0.0.1:8080/", rules) is None
    assert refusal("http://10.0.0.1:8081/", rules) is not None
    assert refusal("http://[fd00::1]:81/", rules) is None
    assert refusal("http://[fd00::1]/", rules) is not None


def test_an_open_port_opens_no_address() -> None:
    assert refusal("http://10.0.0.1:6379/", EgressRules.parse(allow=[":6379"])) is not None


def test_an_allowed_name_may_lead_inside_but_never_to_metadata() -> None:
    rules = EgressRules.parse(allow=["backend", "*.svc.example"])
    for name in ("backend", "a.svc.example", "a.b.svc.example"):
        assert rules.refuse_name(name, 9200) is None
        assert rules.refuse_address("10.0.0.5", 9200, name=name) is None
        for address in (
            "169.254.169.254",
            "168.63.129.16",
            "fd00:ec2::254",
            "0.0.0.0",
            "224.0.0.1",
        ):
            assert rules.refuse_address(address, 80, name=name) is not None
    for name in ("svc.example", "asvc.example", "backend.example", "other"):
        assert rules.refuse_address("10.0.0.5", 80, name=name) is not None


def test_deny_beats_allow() -> None:
    rules = EgressRules.parse(
        allow=["10.0.0.0/8", "*.example"], deny=["10.0.0.1", "evil.example", ":8080", "8.8.0.0/16"]
    )
    assert refusal("http://10.0.0.2/", rules) is None
    assert refusal("http://10.0.0.1/", rules) is not None
    assert refusal("http://evil.example/", rules) is not None
    assert refusal("http://good.example/", rules) is None
    assert refusal("http://good.example:8080/", rules) is not None
    assert refusal("http://10.0.0.2:8080/", rules) is not None
    assert rules.refuse_address("8.8.8.8", 80, name="public.example") is not None


@pytest.mark.parametrize(
    ("address", "explicit"),
    [
        ("169.254.169.254", "169.254.169.254"),
        ("169.254.169.254", "169.254.0.0/16"),
        ("100.100.100.200", "100.100.100.200/32"),
        ("192.0.0.192", "192.0.0.192"),
        ("fd00:ec2::254", "fd00:ec2::254"),
        ("fd20:ce::254", "[fd20:ce::254]:80"),
        ("224.0.0.1", "224.0.0.0/8"),
        ("::ffff:169.254.169.254", "169.254.169.254"),
    ],
)
def test_a_wide_network_opens_no_metadata_only_an_entry_that_means_it(
    address: str, explicit: str
) -> None:
    everything = ["0.0.0.0/0", "::/0", "100.64.0.0/10", "192.0.0.0/24", "fd00::/8"]
    for wide in (everything, [*everything, "metadata.example"]):
        rules = EgressRules.parse(allow=wide)
        assert rules.refuse_address(address, 80) is not None
        assert rules.refuse_address(address, 80, name="metadata.example") is not None
    assert EgressRules.parse(allow=[explicit]).refuse_address(address, 80) is None


def test_a_network_of_mapped_addresses_is_the_network_of_ipv4_that_it_carries() -> None:
    for entry in ("::ffff:10.1.0.0/112", "[64:ff9b::a01:0]", "64:ff9b::a01:0/112"):
        for address in ("10.1.0.0", "::ffff:10.1.0.0", "64:ff9b::a01:0"):
            assert EgressRules.parse(allow=[entry]).refuse_address(address, 80) is None
    public = ("8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808")
    for entry in ("::ffff:8.8.8.0/120", "64:ff9b::808:808", "8.8.8.8"):
        for address in public:
            assert EgressRules.parse(deny=[entry]).refuse_address(address, 80) is not None
    # What is written as IPv6 is denied with IPv6, whatever it carries.
    for address in public[1:]:
        assert EgressRules.parse(deny=["::/0"]).refuse_address(address, 80) is not None


def test_our_own_listener_is_denied_whatever_is_allowed() -> None:
    everything = ["0.0.0.0/0", "::/0", "localhost", "scheduler.example"]
    rules = EgressRules.parse(allow=everything, own=[("127.0.0.1", 8080)])
    for url in (
        "http://127.0.0.1:8080/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://0.0.0.0:8080/",
    ):
        assert refusal(url, rules) is not None
    assert rules.refuse_address("127.0.0.1", 8080, name="localhost") is not None
    assert refusal("http://127.0.0.1:8081/", rules) is None

    wild = EgressRules.parse(allow=everything, own=[("0.0.0.0", 8080), ("scheduler.example", 443)])
    for url in (
        "http://127.0.0.1:8080/", "http://127.9.9.9:8080/", "http://[::1]:8080/", "http://[::]:8080/",
        "https://scheduler.example/",
    ):  # fmt: skip
        assert refusal(url, wild) is not None


@pytest.mark.parametrize(
    "entry",
    [
        *("10.0.0.1/8", "a b", "host:99999", "host:x", "host:0", "fd00::/200", "1.2.3", ""),
        *(
            "fd00::/8:443",
            "10.0.0.0/8/8",
            "a/b",
            "a?b",
            "user@a",
            "*",
            "*.",
            "a.*",
            "[a]",
            ":",
            "::g",
        ),
        *("0x7f.1", "host:\u0661", "[10.0.0.0/8", "http://a", "a#b", "10.0.0.1-10.0.0.9"),
    ],
)
def test_an_entry_that_is_neither_network_nor_host_names_itself(entry: str) -> None:
    with pytest.raises(ValueError, match=re.escape(entry) or "empty"):
        EgressRules.parse(allow=[entry])
