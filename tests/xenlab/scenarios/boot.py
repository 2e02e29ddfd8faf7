# SPDX-License-Identifier: MIT
"""Xen and dom0 come up in the expected versions, and xl answers."""


def scenario(lab):
    dom0 = lab.boot()
    info = dict(line.split(":", 1) for line in dom0.xl("info").lines if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    lab.expect(info["xen_version"].startswith("4.17."), f"Xen is {info['xen_version']}")
    lab.expect(info["release"].startswith("6.1."), f"dom0's kernel is {info['release']}")
    lab.expect({"pv", "hvm", "hap"} <= set(info["virt_caps"].split()), f"virt_caps: {info['virt_caps']}")
    lab.equal(dom0.domains(), {"Domain-0": 0}, "domains")
    lab.equal(dom0.xs_read("/local/domain/0/name"), "Domain-0", "dom0's name in xenstore")
    lab.equal(dom0.run("exit 7", check=False).code, 7, "exit code of a command in dom0")
