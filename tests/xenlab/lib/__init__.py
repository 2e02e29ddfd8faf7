# SPDX-License-Identifier: MIT
"""The harness of the Xen lab: packages, images, a machine under QEMU, its domains, and what a scenario sees of them."""
