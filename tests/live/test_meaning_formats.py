"""Meanings against the event formats of the kernel that runs here."""

from __future__ import annotations

from meaning_formats import PLAIN, calls_of, check_addresses, check_devices, check_modes, events_of, plain_arguments

from tracescope.host import LiveHost


def test_every_plain_integer_of_this_kernels_calls_was_decided_to_be(live_host: LiveHost):
    calls = calls_of(live_host)
    assert len(calls) > 250
    assert plain_arguments(calls) <= PLAIN


def test_what_this_kernel_prints_as_address_device_or_mode_is_one(live_host: LiveHost):
    events = events_of(live_host)
    assert check_addresses(events) > 20
    assert check_devices(events) > 20
    assert check_modes(events) > 0
