testinfra_hosts = ["podman://runtime-bookworm", "podman://runtime-trixie"]


def test_up(host):
    assert host.file("/etc/passwd").exists
